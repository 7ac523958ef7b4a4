"""Held-out questions with exact truth, made from scenes; the same for every model that is asked.

Worded by the same module as the training turns, so a probe tests sight and not a new phrasing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llava_jax.instruct.facts import image as facts
from llava_jax.instruct.facts.image import Fact
from llava_jax.instruct.nouns import NUMBERS
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher import wording
from llava_jax.instruct.teacher.reasoning import REASONINGS, Reasoned

Figure = Literal["presence", "position", "kind", "count", "reasoning", "caption"]
_DRAWS = 4  # of each reasoning in a scene, to choose from


@dataclass(frozen=True)
class Probe:
    """One question about one image.

    truth: the right words: ("yes",), ("apple",), ("three",); for a caption, every label there is.
    choices: all words that could be an answer, and that the scorer looks for.
    given: words of the question that an answer may repeat without claiming them.
    cue: a word that only the sentences hold that are to be read; "" reads all of the answer.
    """

    scene: str
    image: str
    figure: Figure
    form: str
    question: str
    truth: tuple[str, ...]
    choices: tuple[str, ...]
    given: tuple[str, ...] = ()
    cue: str = ""


def make_probes(scenes: Sequence[Scene], seed: int) -> list[Probe]:
    """Two presence questions, a caption, and where the scene has one: position, kind, count,
    reasoning.

    Presence is half yes, half no in every scene; absent labels are drawn as often as they are
    present elsewhere, so that a label alone tells nothing. Each other figure takes, in each scene,
    the question whose form and truth were asked least so far: guessing gains little.
    """
    rng = random.Random(f"{seed}/probes")
    labels = tuple(sorted({label for s in scenes for label in (*s.exhaustive.labels, *_labels(s))}))
    present = [label for scene in scenes for label in sorted(_labels(scene))]
    colors = _colors_of(scenes)
    answers_of: dict[str, tuple[str, ...]] = {
        "color": tuple(sorted(set().union(*colors.values()))),
        "count": NUMBERS,
        "total": NUMBERS,
    }
    asked: Counter[tuple[str, str]] = Counter()
    probes = []
    for scene in scenes:
        for fact in _balanced_presence(scene, present, rng):
            probes.append(_probe(scene, "presence", fact, ("yes", "no"), rng))
        candidates: dict[Figure, list[Fact]] = {
            "position": contrasting_positions(scene),
            "kind": _telling_kinds(scene, colors),
            "count": facts.count_facts(scene),
        }
        for figure, possible in candidates.items():
            if possible:
                rng.shuffle(possible)
                fact = min(possible, key=lambda fact: asked[fact.form, fact.truth])
                asked[fact.form, fact.truth] += 1
                probes.append(_probe(scene, figure, fact, answers_of.get(fact.form, labels), rng))
        if scene.entities:
            probes.append(_caption_probe(scene, labels, rng))
    return probes + _reasoning_probes(scenes, labels, rng)


def contrasting_positions(scene: Scene) -> list[Fact]:
    """Position facts of scenes with a third label: naming any other thing is not enough there."""
    return [
        fact for fact in facts.position_facts(scene) if _labels(scene) - {fact.subject, fact.truth}
    ]


def _telling_kinds(scene: Scene, colors: dict[str, set[str]]) -> list[Fact]:
    """Kind facts without the colours that follow from the label: bananas are always yellow."""
    return [
        fact
        for fact in facts.kind_facts(scene)
        if fact.form != "color" or fact.subject not in colors or len(colors[fact.subject]) > 1
    ]


def _colors_of(scenes: Sequence[Scene]) -> dict[str, set[str]]:
    """The colours in which each label occurs."""
    colors: dict[str, set[str]] = {}
    for scene in scenes:
        for entity in scene.entities:
            if "color" in entity.attributes:
                colors.setdefault(entity.label, set()).add(entity.attributes["color"])
    return colors


def _balanced_presence(scene: Scene, present: Sequence[str], rng: random.Random) -> list[Fact]:
    here = _labels(scene)
    absent = [label for label in present if label in scene.exhaustive.labels and label not in here]
    if not here or not absent:
        return []
    return facts.presence_facts(scene, [rng.choice(sorted(here)), rng.choice(absent)])


def _probe(
    scene: Scene, figure: Figure, fact: Fact, choices: tuple[str, ...], rng: random.Random
) -> Probe:
    truth = NUMBERS[int(fact.truth)] if figure == "count" else fact.truth
    question = wording.question(fact, rng)
    given = (fact.subject,) if fact.subject else ()
    return Probe(scene.id, scene.image, figure, fact.form, question, (truth,), choices, given)


def _caption_probe(scene: Scene, labels: tuple[str, ...], rng: random.Random) -> Probe:
    question = rng.choice(wording.CAPTION_QUESTIONS)
    truth = tuple(sorted(_labels(scene)))
    return Probe(scene.id, scene.image, "caption", "caption", question, truth, labels)


def _reasoning_probes(
    scenes: Sequence[Scene], labels: tuple[str, ...], rng: random.Random
) -> list[Probe]:
    """One a scene: that whose right choice was asked least so far, and of two choices never the
    one that is ahead: no habit is of use. In "the dog or the cat?" they are the first and second.
    """
    asked: Counter[tuple[str, int]] = Counter()
    probes = []
    for scene in scenes:
        possible = {}
        for form in [*REASONINGS] * _DRAWS:
            if reasoned := REASONINGS[form](scene, rng):
                options = reasoned.options
                right = options.index(reasoned.truth) if options else 0
                if len(options) != 2 or asked[form, right] <= asked[form, 1 - right]:
                    possible[form, right] = reasoned
        if possible:
            rarest = min(possible, key=lambda choice: asked[choice])
            asked[rarest] += 1
            probes.append(_reasoning_probe(scene, rarest[0], possible[rarest], labels))
    return probes


def _reasoning_probe(scene: Scene, form: str, reasoned: Reasoned, labels: tuple[str, ...]) -> Probe:
    truth, choices = (reasoned.truth,), reasoned.options or labels
    question, cue = reasoned.question, reasoned.cue
    return Probe(scene.id, scene.image, "reasoning", form, question, truth, choices, cue=cue)


def _labels(scene: Scene) -> set[str]:
    return {entity.label for entity in scene.entities}
