"""Probes of scenes with exact truth: whether a model binds what it sees.

A model that sees an image as a bag of patches knows that there are strawberries and yogurt and
says that there is strawberry yogurt (LLaVA's own example, arXiv 2304.08485, section 5). A quad asks
of things a, b that are o, p: is a o (yes), is b p (yes), is a p (no), is b o (no). The binding gap
is how much more often a model sees that something is wrong with a thing that is absent altogether,
asked in the same words, than with one that is there and bound wrongly.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from llava_jax.evaluation.benchmarks.benchmark import SHORT, File, Question
from llava_jax.evaluation.failures.grouped import YES_NO, Asked, Grouped
from llava_jax.instruct.facts.image import Fact, label_counts, relation_facts
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.instruct.nouns import NUMBERS, counted, noun, plural, with_article
from llava_jax.instruct.scene import Scene

SEED = 0  # of the choices: the same questions for every model
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
COCO_FILES = (
    File(
        "images", "the images of the annotations, or draw_set(..., 'binding') of importers/openmoji"
    ),
    File("instances.json", "COCO's instances_*.json of the same images, or what draw_set wrote"),
    File("captions.json", "COCO's captions_*.json of the same images, or what draw_set wrote"),
)


def scene_questions(scenes: Sequence[Scene], images: Path) -> Iterator[Question]:
    """Of each scene what it has: a quad of colours, one of places across and one of heights, a
    choice of sides in all orders, a pair of counts and a quad of negations.
    """
    rng = random.Random(f"{SEED}/failures")
    present = [label for scene in scenes for label in sorted(_labels(scene))]
    seen = {pair for scene in scenes for pair in _colored(scene)}
    for scene in scenes:
        ask = _Asker(scene, images)
        absent = [label for label in present if label in _known_absent(scene)]
        yield from _color_quad(scene, ask, seen, rng)
        yield from _places(scene, ask, absent, rng)
        yield from _counts(scene, ask, rng)
        yield from _negation(scene, ask, absent, rng)


class _Asker:
    """Makes the questions about one scene."""

    def __init__(self, scene: Scene, images: Path):
        self.scene, self.images, self.asked = scene.id, (images / scene.image,), 0

    def __call__(
        self,
        words: str,
        answer: str,
        groups: tuple[str, ...],
        figure: str = "",
        options: tuple[str, ...] = YES_NO,
    ) -> Question:
        """figure: of those that count together in the scene; without one, not in the headline."""
        self.asked += 1
        id = f"{self.scene}/{self.asked}"
        units = {"accuracy": id, figure: f"{self.scene}/{groups[0]}"} if figure else {}
        truth = Asked(answer, units, options)
        return Question(id, words + SHORT, self.images, truth, self.scene, groups)


def _color_quad(
    scene: Scene, ask: _Asker, seen: set[tuple[str, str]], rng: random.Random
) -> Iterator[Question]:
    """Only of colours that the things could have had: other scenes show both the other way round,
    and the absent things too.
    """
    colored = _colored(scene)
    fit = [
        (a, o, b, p)
        for (a, o), (b, p) in combinations(sorted(colored), 2)
        if o != p and {(a, p), (b, o)} <= seen
    ]
    if not fit:
        return
    a, o, b, p = rng.choice(fit)
    for label, color, answer in ((a, o, "yes"), (b, p, "yes"), (a, p, "no"), (b, o, "no")):
        role = "color bound" if answer == "yes" else "color misbound"
        yield ask(_is_there(label, color), answer, ("color", role), "color quad")
    for color in (o, p):
        missing = [x for x, other in sorted(seen) if other == color and x in _known_absent(scene)]
        if missing:
            yield ask(_is_there(rng.choice(missing), color), "no", ("color absent",))


def _is_there(label: str, color: str) -> str:
    return f"Is there {counted(label, 1, color)} in the image?"


def _places(
    scene: Scene, ask: _Asker, absent: Sequence[str], rng: random.Random
) -> Iterator[Question]:
    relations = relation_facts(scene)
    for form, where in (("side", "to the {} of"), ("height", "{}")):
        fit = [fact for fact in relations if fact.form == form]
        if fit:
            fact = rng.choice(fit)
            yield from _place_quad(fact, where, ask, absent, rng)
            if form == "side":
                yield from _choice_of_side(fact, ask)


def _place_quad(
    fact: Fact, where: str, ask: _Asker, absent: Sequence[str], rng: random.Random
) -> Iterator[Question]:
    """Binds "left of b" to a and "right of a" to b, and the other way round."""

    def words(thing: str, place: str, other: str) -> str:
        return f"Is the {thing} {where.format(place)} the {other}?"

    a, b, o, p = noun(fact.subject), noun(fact.other), fact.truth, OPPOSITE[fact.truth]
    for thing, place, other in ((a, o, b), (b, p, a)):
        bound, misbound = words(thing, place, other), words(thing, OPPOSITE[place], other)
        yield ask(bound, "yes", (fact.form, "place", "place bound"), "place quad")
        yield ask(misbound, "no", (fact.form, "place", "place misbound"), "place quad")
        if absent:
            missing = words(noun(rng.choice(absent)), place, other)
            yield ask(missing, "no", ("place absent",))


def _choice_of_side(fact: Fact, ask: _Asker) -> Iterator[Question]:
    """In both orders and of both things: no habit of a side or of a place in the question wins."""
    a, b, o = noun(fact.subject), noun(fact.other), fact.truth
    for thing, other, truth in ((a, b, o), (b, a, OPPOSITE[o])):
        for sides in (("left", "right"), ("right", "left")):
            words = f"Is the {thing} to the {sides[0]} or to the {sides[1]} of the {other}?"
            yield ask(words, truth, ("choice of side",), "choice of side, all orders", sides)


def _counts(scene: Scene, ask: _Asker, rng: random.Random) -> Iterator[Question]:
    counts = {k: n for k, n in label_counts(scene).items() if n < len(NUMBERS) - 1}
    if not counts:
        return
    label = rng.choice(sorted(counts))
    right = counts[label]
    wrong = right + (rng.choice((-1, 1)) if right > 1 else 1)
    for number, answer in ((right, "yes"), (wrong, "no")):
        things = noun(label) if number == 1 else plural(label)
        verb = "Is" if number == 1 else "Are"
        question = f"{verb} there exactly {NUMBERS[number]} {things} in the image?"
        yield ask(question, answer, ("count",), "count pair")


def _negation(
    scene: Scene, ask: _Asker, absent: Sequence[str], rng: random.Random
) -> Iterator[Question]:
    """ "Is there no dog?" could be answered either way, "is it true that ..." only one."""
    here = sorted(_labels(scene))
    if not here or not absent:
        return
    for label, there in ((rng.choice(here), True), (rng.choice(absent), False)):
        for words, answer in ((with_article(noun(label)), there), (f"no {noun(label)}", not there)):
            role = "negated" if words.startswith("no ") else "affirmed"
            question = f"Is it true that there is {words} in the image?"
            yield ask(question, YES_NO[not answer], ("negation", role), "negation quad")


def _labels(scene: Scene) -> set[str]:
    return {entity.label for entity in scene.entities}


def _known_absent(scene: Scene) -> set[str]:
    return set(scene.exhaustive.labels) - _labels(scene)


def _colored(scene: Scene) -> set[tuple[str, str]]:
    """(label, colour) of the labels whose things are all annotated, and of one known colour."""
    colors: dict[str, set[str]] = {}
    for entity in scene.entities:
        color = "" if entity.crowd else entity.attributes.get("color", "")
        colors.setdefault(entity.label, set()).add(color)
    return {
        (label, min(found))
        for label, found in colors.items()
        if label in scene.exhaustive.labels and len(found) == 1 and "" not in found
    }


def _of_folder(data: Path) -> Iterator[Question]:
    files = CocoFiles.in_folder(data)
    yield from scene_questions(read_whole(files), files.images)


# Half of what counts in the headline is "yes"; gaps are 0 for a model that binds, or sees nothing.
SCENE_PROBES = Grouped(
    name="scene-probes",
    files=COCO_FILES,
    metric="accuracy",
    make=_of_folder,
    gaps={
        "color binding gap": ("color absent", "color misbound"),
        "place binding gap": ("place absent", "place misbound"),
    },
)
