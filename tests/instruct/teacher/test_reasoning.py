"""Each sort of reasoning on scenes whose answer is known, and on scenes that do not settle it."""

import random
import re
from collections import Counter

import pytest

from llava_jax.instruct.nouns import NUMBERS
from llava_jax.instruct.scene import Box, Entity
from llava_jax.instruct.teacher import reasoning
from tests.instruct.drawn import drawn_scenes, scene_of

RNG = random.Random(0)


def of_category(label: str, category: str, x: float) -> Entity:
    return Entity(label, Box(x, 0.4, x + 0.1, 0.5), {"category": category})


def test_dominant_category() -> None:
    dogs = [of_category("dog", "animal", x) for x in (0.1, 0.3)]
    scene = scene_of(entities=(*dogs, of_category("car", "vehicle", 0.6)))
    found = reasoning.dominant_category(scene, RNG)
    assert found
    assert (found.answer, found.truth) == ("The theme is animals.", "animal")
    assert found.reasoning == (
        "Of animals I count two, two dogs. Of the next sort, vehicles, I count only one."
    )
    tied = scene_of(entities=(dogs[0], of_category("car", "vehicle", 0.6)))
    assert reasoning.dominant_category(tied, RNG) is None


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [(("dog", "dog", "cat"), "more dogs"), (("dog", "cat"), "as many")],
)
def test_compare_counts(labels: tuple[str, ...], verdict: str) -> None:
    scene = scene_of(*((label, 0.1 + 0.3 * i, 0.5) for i, label in enumerate(labels)))
    counts = Counter(labels)
    for _ in range(10):
        found = reasoning.compare_counts(scene, RNG)
        assert found
        first = "dog" if "more dogs" in found.question else "cat"
        second = "cat" if first == "dog" else "dog"
        truth = "yes" if counts[first] > counts[second] else "no"
        assert found.answer.lower().startswith(truth) and found.truth == truth
        assert verdict in found.answer


def test_first_on_the_way_and_edges_on_drawn_scenes() -> None:
    asked = 0
    for scene in drawn_scenes(80):
        center = {entity.label: entity.box.center[0] for entity in scene.entities}
        found = reasoning.first_on_the_way(scene, RNG)
        if found:
            match = re.fullmatch(r"The (\w+) is to the left of the (\w+)\.", found.reasoning)
            assert match
            assert center[match[1]] < center[match[2]]
            assert found.answer == f"The ant reaches the {match[1]} first."
            assert found.truth == match[1] and set(found.options) == set(match.groups())
            asked += 1
        found = reasoning.at_the_edge(scene, RNG)
        if found:
            match = re.fullmatch(
                r"Nothing lies further to the (\w+) than the (\w+)\.", found.reasoning
            )
            assert match
            edge = min if match[1] == "left" else max
            assert match[2] == edge(scene.entities, key=lambda e: e.box.center[0]).label
            assert found.answer == f"You would meet the {match[2]} first."
            assert found.truth == match[2]
            asked += 1
    assert asked > 40


def test_takes_most_room() -> None:
    large = Entity("car", Box(0.0, 0.0, 0.5, 0.5))
    small = Entity("cat", Box(0.6, 0.6, 0.8, 0.8))
    found = reasoning.takes_most_room(scene_of(entities=(small, large)), RNG)
    assert found
    assert (found.answer, found.truth) == ("The car needs the larger sticker.", "car")
    alike = Entity("dog", Box(0.5, 0.5, 0.95, 0.95))
    assert reasoning.takes_most_room(scene_of(entities=(alike, large)), RNG) is None


def test_take_one_away() -> None:
    for scene in drawn_scenes(60):
        found = reasoning.take_one_away(scene, RNG)
        assert found
        rest = len(scene.entities) - 1
        assert found.truth == NUMBERS[rest]
        assert found.answer.startswith(NUMBERS[rest].capitalize() if rest else "None")
    unknown = scene_of(("dog", 0.5, 0.5), complete=False)
    assert reasoning.take_one_away(unknown, RNG) is None


def test_the_reasoning_comes_after_the_answer_or_before_it() -> None:
    for scene in drawn_scenes(40):
        for ask in reasoning.REASONINGS.values():
            if found := ask(scene, RNG):
                after, before = found.turn("after"), found.turn("before")
                assert after.question == before.question == found.question
                assert after.answer == f"{found.answer} {found.reasoning}"
                assert before.answer == f"{found.reasoning} {found.answer}"


def test_only_the_answer_holds_the_cue_and_only_one_option() -> None:
    seen = set()
    for scene in drawn_scenes(60):
        for form, ask in reasoning.REASONINGS.items():
            if found := ask(scene, RNG):
                assert found.cue in found.answer and found.answer.count(".") == 1
                assert not found.cue or found.cue not in found.reasoning
                assert found.truth in (found.options or {e.label for e in scene.entities})
                seen.add(form)
    assert seen == reasoning.REASONINGS.keys()
