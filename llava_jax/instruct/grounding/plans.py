"""Steps of a plan: what they act on must be there, allow it, and be in an order that can be."""

import re
from collections.abc import Iterator, Sequence

from llava_jax.instruct.facts.affordances import can
from llava_jax.instruct.facts.navigation import out_of_order
from llava_jax.instruct.grounding.affordances import VERBS
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.mentions import Mention, Reading, named, readings
from llava_jax.instruct.grounding.things import the_only
from llava_jax.instruct.scene import Entity, Scene
from llava_jax.instruct.turns import Turn

RULE = "plans"
# A step's words -> the verb of the scene's actions, where that is another one.
_ACTIONS = {
    "place": "put", "lift": "pick up", "grab": "pick up", "chill": "cool", "wash": "clean",
    "turn on": "toggle", "turn off": "toggle", "switch on": "toggle", "switch off": "toggle",
}  # fmt: skip
_NEEDED = VERBS | {"put": "pick up", "place": "pick up"}  # only what can be carried can be put
_STEP = re.compile(
    rf"(?:^|\b(?:and|then|first|next|finally|now)\b,? |, )(?P<verb>{'|'.join(_NEEDED)}) $",
    re.IGNORECASE,
)

Step = tuple[Reading, Mention, str]  # where it is told, what it acts on, its words in lower case


def plans(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges commands in answers: "Open the fridge and put the egg in it." """
    if scene.modality != "embodied":
        return []
    steps = list(_steps(scene, turns))
    findings = [finding for step in steps for finding in _possible(scene, *step)]
    for answer in range(len(turns)):
        findings += _order(scene, [step for step in steps if step[0].statement.turn == answer])
    return findings


def _steps(scene: Scene, turns: Sequence[Turn]) -> Iterator[Step]:
    for reading in readings(scene, turns):
        statement, sentence = reading.statement, reading.sentence
        if statement.presupposed or statement.within or "if" in sentence.words:
            continue
        for mention in reading.mentions:
            before = statement.text[sentence.tokens[0].start : mention.phrase.start]
            if (found := _STEP.search(before)) and mention.phrase.scope == "asserted":
                yield reading, mention, found["verb"].lower()


def _possible(scene: Scene, reading: Reading, mention: Mention, verb: str) -> Iterator[Finding]:
    entities = _meant(scene, reading, mention)
    span = mention.phrase.start, mention.phrase.end
    if not entities:
        if mention.meaning and mention.meaning.closed and _known_absent(scene, mention):
            yield reading.statement.finding(RULE, "fail", *span, f"there is no {mention.noun}")
        return
    truths = {can(scene, entity, _NEEDED[verb]) for entity in entities}
    evidence = f"the {entities[0].label} allows {', '.join(entities[0].affordances) or 'nothing'}"
    if truths == {False}:
        yield reading.statement.finding(RULE, "fail", *span, evidence, f"{verb} {mention.noun}")
    elif True in truths:
        yield reading.statement.finding(RULE, "pass", *span, evidence, f"{verb} {mention.noun}")


def _known_absent(scene: Scene, mention: Mention) -> bool:
    """Whether such things are listed wherever they are, and none has a name that ends alike."""
    heads = {entity.label.split(" ")[-1] for entity in scene.entities}
    listed = any(mention.names(label) for label in scene.exhaustive.labels)
    return listed and mention.noun.split(" ")[-1] not in heads


def _meant(scene: Scene, reading: Reading, mention: Mention) -> Sequence[Entity]:
    """All that can be meant; nothing of a noun that other words make another one."""
    if mention.modifiers and the_only(scene, reading, mention) is None:
        return ()
    return named(scene, mention)


def _order(scene: Scene, steps: Sequence[Step]) -> Iterator[Finding]:
    """Steps that are told after one that needs them done."""
    told: dict[int, Step] = {}
    for reading, mention, verb in steps:
        entity = the_only(scene, reading, mention)
        done = [
            number
            for number, action in enumerate(scene.actions)
            if entity is not None
            and action.verb == _ACTIONS.get(verb, verb)
            and action.objects[:1] == (entity.id,)
        ]
        if len(done) == 1:
            told.setdefault(done[0], (reading, mention, verb))
    for before, after in out_of_order(scene, list(told)):
        reading, mention, verb = told[before]
        evidence = f"the scene does so only after: {scene.actions[after].verb}"
        span = mention.phrase.start, mention.phrase.end
        text = f"{verb} {mention.noun}"
        yield reading.statement.finding(RULE, "fail", *span, evidence, text)
