"""What is said to be possible with things, and the states that they are said to be in."""

import re
from collections.abc import Iterator, Sequence

from llava_jax.instruct.facts.affordances import OPPOSITE, can, is_in_state
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.mentions import Mention, Reading, readings
from llava_jax.instruct.grounding.things import is_subject, the_only, verdict_of
from llava_jax.instruct.scene import Entity, Scene
from llava_jax.instruct.turns import Turn

RULE = "affordances"
# Words for what data sets call by another name; each names that affordance alone.
VERBS = {
    "open": "open", "close": "open", "pick up": "pick up", "lift": "pick up", "grab": "pick up",
    "slice": "slice", "heat": "heat", "cool": "cool", "chill": "cool", "clean": "clean",
    "wash": "clean", "toggle": "toggle", "turn on": "toggle", "turn off": "toggle",
    "switch on": "toggle", "switch off": "toggle", "sit on": "sit on", "lie on": "lie on",
}  # fmt: skip
_PARTICIPLES = {
    "opened": "open", "closed": "open", "picked up": "pick up", "lifted": "pick up",
    "sliced": "slice", "heated": "heat", "cooled": "cool", "chilled": "cool", "cleaned": "clean",
    "washed": "clean", "toggled": "toggle", "turned on": "toggle", "turned off": "toggle",
    "switched on": "toggle", "switched off": "toggle", "sat on": "sit on",
}  # fmt: skip
_CAN = r"(?P<can>can|cannot|can not|can['\u2019]t)"
_PASSIVE = re.compile(rf" {_CAN} (?:also )?be (?P<verb>{'|'.join(_PARTICIPLES)})\b", re.IGNORECASE)
_ACTIVE = re.compile(
    rf"\b(?:you|one|we|people|somebody|someone|i) {_CAN} (?:also |easily )?"
    rf"(?P<verb>{'|'.join(VERBS)}) $",
    re.IGNORECASE,
)
_STATE = re.compile(
    rf" (?:is|stands)(?: currently| still)? (?P<state>{'|'.join(OPPOSITE)})\b"
    r"(?= *(?:[.,;!?]|$|and\b|but\b|because\b|so\b))",
    re.IGNORECASE,
)


def affordances(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges "you can open the window", "the sofa cannot be opened", "the lamp is off"."""
    findings: list[Finding] = []
    if scene.modality in ("space", "embodied"):
        for reading in readings(scene, turns):
            if not reading.statement.presupposed:
                for mention in reading.mentions:
                    findings += _possible(scene, reading, mention)
                    findings += _state(scene, reading, mention)
    return findings


def _possible(scene: Scene, reading: Reading, mention: Mention) -> Iterator[Finding]:
    text, phrase = reading.statement.text, mention.phrase
    passive = _PASSIVE.match(text, phrase.end) if is_subject(reading, mention) else None
    active = _ACTIVE.search(text, 0, phrase.start)
    found = passive or active
    entity = the_only(scene, reading, mention, possible=True)
    if found is None or entity is None or _conditional(reading):
        return
    verb = (_PARTICIPLES if passive else VERBS)[found["verb"].lower()]
    truth = can(scene, entity, verb)
    if found["can"].lower() != "can" and truth is not None:
        truth = not truth
    start, end = min(phrase.start, found.start()), max(phrase.end, found.end())
    allows = ", ".join(entity.affordances) or "nothing"
    evidence = f"the {entity.label} allows {allows}"
    yield reading.statement.finding(RULE, verdict_of(truth), start, end, evidence)


def _conditional(reading: Reading) -> bool:
    return not {"if", "unless", "whether", "when", "once"}.isdisjoint(reading.sentence.words)


def _state(scene: Scene, reading: Reading, mention: Mention) -> Iterator[Finding]:
    found = _STATE.match(reading.statement.text, mention.phrase.end)
    entity = the_only(scene, reading, mention)
    if found is None or entity is None or not is_subject(reading, mention):
        return
    truth = is_in_state(entity, found["state"].lower()) if not scene.actions else None
    span = mention.phrase.start, found.end()
    yield reading.statement.finding(RULE, verdict_of(truth), *span, _states(entity))


def _states(entity: Entity) -> str:
    return f"the {entity.label} is {' and '.join(entity.states) or 'in no annotated state'}"
