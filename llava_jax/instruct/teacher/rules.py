"""The rule-based teacher: writes each modality's response types from a scene's symbols alone.

Every answer is worded from a fact of the scene, so it is true by construction. The same scene and
seed always give the same turns.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from llava_jax.instruct.facts import image as facts
from llava_jax.instruct.facts.image import Fact
from llava_jax.instruct.nouns import inventory, noun, sentence
from llava_jax.instruct.scene import Box, Modality, Scene
from llava_jax.instruct.teacher import embodied, space, video, wording
from llava_jax.instruct.teacher.reasoning import REASONINGS, Place
from llava_jax.instruct.turns import Request, Response, Turn

# How many turns of each sort a conversation has, where the scene offers them.
CONVERSATION = {
    "presence": 2,
    "position": 1,
    "kind": 1,
    "background": 1,
    "count": 1,
    "caption": 1,
}

Writer = Callable[[Scene, random.Random, int], list[Turn]]

# Of the modalities other than images: kind of response -> who writes its turns.
WRITERS: dict[Modality, dict[str, Callable[[Scene, random.Random], list[Turn]]]] = {
    "video": video.WRITERS,
    "space": space.WRITERS,
    "embodied": embodied.WRITERS,
}


@dataclass(frozen=True)
class RuleTeacher:
    """`conversation`: how many turns of each sort, a key of TURNS.

    reasoning: whether that of an image's complex response comes after its answer or before it.
    """

    conversation: Mapping[str, int] = field(default_factory=lambda: dict(CONVERSATION))
    reasoning: Place = "after"
    name: ClassVar[str] = "rules"

    def __post_init__(self) -> None:
        unknown = sorted(self.conversation.keys() - TURNS.keys())
        if unknown:
            raise ValueError(f"no such turns: {unknown}; choose from {sorted(TURNS)}")

    def respond(self, requests: Sequence[Request]) -> Iterator[Response]:
        """One response a request, in their order."""
        for request in requests:
            turns = self.turns(request.scene, request.response, request.seed)
            yield Response(request, tuple(turns), self.name)

    def turns(self, scene: Scene, response: str, seed: int) -> list[Turn]:
        """The turns of one response; none where the scene gives nothing to say."""
        rng = random.Random(f"{seed}/{scene.id}/{response}")
        if scene.modality != "image":
            return WRITERS[scene.modality][response](scene, rng)
        if response == "detail":
            return detail(scene, rng)
        if response == "complex":
            return complex_reasoning(scene, rng, self.reasoning)
        turns = [t for sort, n in self.conversation.items() for t in TURNS[sort](scene, rng, n)]
        rng.shuffle(turns)
        return turns


def presence_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    """As many yes as no (the odd one at random), each about another label."""
    present = list(dict.fromkeys(entity.label for entity in scene.entities))
    absent = [label for label in scene.exhaustive.labels if label not in present]
    yes = min((count + rng.randrange(2)) // 2, len(present))
    asked = rng.sample(present, yes) + rng.sample(absent, min(count - yes, len(absent)))
    return _worded(facts.presence_facts(scene, asked), rng)


def position_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    return _worded(_some(facts.position_facts(scene), rng, count), rng)


def relation_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    return _worded(_some(facts.relation_facts(scene), rng, count), rng)


def kind_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    return _worded(_some(facts.kind_facts(scene), rng, count), rng)


def background_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    return _worded(_some(facts.background_facts(scene), rng, count), rng)


def count_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    """Truths are drawn before labels, or "one" would drown the larger counts."""
    by_truth: dict[str, list[Fact]] = {}
    for fact in facts.count_facts(scene):
        by_truth.setdefault(fact.truth, []).append(fact)
    groups = _some(list(by_truth.values()), rng, count)
    return _worded([rng.choice(group) for group in groups], rng)


def caption_turns(scene: Scene, rng: random.Random, count: int) -> list[Turn]:
    """The scene's first caption: in drawn scenes the list of what there is."""
    captions = scene.captions[: min(count, 1)]
    return [Turn(rng.choice(wording.CAPTION_QUESTIONS), caption) for caption in captions]


TURNS: dict[str, Writer] = {
    "presence": presence_turns,
    "position": position_turns,
    "relation": relation_turns,
    "kind": kind_turns,
    "background": background_turns,
    "count": count_turns,
    "caption": caption_turns,
}


def _some(items: list[Any], rng: random.Random, count: int) -> list[Any]:
    return rng.sample(items, min(count, len(items)))


def _worded(chosen: list[Fact], rng: random.Random) -> list[Turn]:
    return [Turn(wording.question(fact, rng), wording.answer(fact)) for fact in chosen]


def detail(scene: Scene, rng: random.Random) -> list[Turn]:
    """One paragraph: what there is, each thing's colour and place, how two of them lie together.

    Where not everything is annotated, the longest caption says what the labels leave out.
    """
    sure = facts.sure_counts(scene)
    # Of what may not be annotated everywhere it is only certain that there is one.
    counts = {label: sure.get(label, 1) for label in facts.label_counts(scene)}
    if not counts:
        return []
    sentences = (
        []
        if scene.exhaustive.everything
        else [max(scene.captions, key=len, default="").rstrip(".")]
    )
    sentences.append(f"the image shows {inventory(counts)}")
    for entity in facts.single_entities(scene):
        described = f"{entity.attributes.get('color', '')} {noun(entity.label)}".lstrip()
        sentences.append(f"the {described} is {place(entity.box)}")
    for fact in _some(facts.relation_facts(scene), rng, 1):
        relation = f"to the {fact.truth} of" if fact.form == "side" else fact.truth
        sentences.append(f"the {noun(fact.subject)} is {relation} the {noun(fact.other)}")
    paragraph = " ".join(sentence(words) for words in sentences if words)
    return [Turn(rng.choice(wording.DETAIL_QUESTIONS["image"]), paragraph)]


def place(box: Box) -> str:
    """Where a box's centre lies, in words: "at the top left", "on the right", "in the middle"."""
    x, y = box.center
    low, high = facts.MIDDLE
    across = "left" if x < low else "right" if x > high else ""
    down = "top" if y < low else "bottom" if y > high else ""
    if down:
        return f"at the {down} {across}".rstrip()
    return f"on the {across}" if across else "in the middle"


def complex_reasoning(scene: Scene, rng: random.Random, place: Place) -> list[Turn]:
    """One question whose answer takes a step beyond looking, of those that the scene allows."""
    possible = [reasoned for ask in REASONINGS.values() if (reasoned := ask(scene, rng))]
    return [rng.choice(possible).turn(place)] if possible else []
