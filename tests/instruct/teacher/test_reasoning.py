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
    turn = reasoning.dominant_category(scene, RNG)
    assert turn
    assert turn.answer == (
        "The theme is animals. There are two of them, two dogs. "
        "Of the next sort, vehicles, I count only one."
    )
    tied = scene_of(entities=(dogs[0], of_category("car", "vehicle", 0.6)))
    assert reasoning.dominant_category(tied, RNG) is None


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [(("dog", "dog", "cat"), "more dogs"), (("dog", "cat"), "as many of one")],
)
def test_compare_counts(labels: tuple[str, ...], verdict: str) -> None:
    scene = scene_of(*((label, 0.1 + 0.3 * i, 0.5) for i, label in enumerate(labels)))
    counts = Counter(labels)
    for _ in range(10):
        turn = reasoning.compare_counts(scene, RNG)
        assert turn
        first = "dog" if "more dogs" in turn.question else "cat"
        second = "cat" if first == "dog" else "dog"
        assert turn.answer.startswith("Yes" if counts[first] > counts[second] else "No")
        assert verdict in turn.answer


def test_first_on_the_way_and_edges_on_drawn_scenes() -> None:
    asked = 0
    for scene in drawn_scenes(80):
        center = {entity.label: entity.box.center[0] for entity in scene.entities}
        turn = reasoning.first_on_the_way(scene, RNG)
        if turn:
            match = re.match(
                r"It reaches the (\w+) first, .* to the left of the (\w+)", turn.answer
            )
            assert match
            assert center[match[1]] < center[match[2]]
            asked += 1
        turn = reasoning.at_the_edge(scene, RNG)
        if turn:
            match = re.match(r"The (\w+), because .* to the (\w+)\.", turn.answer)
            assert match
            edge = min if match[2] == "right" else max
            assert match[1] == edge(scene.entities, key=lambda e: e.box.center[0]).label
            asked += 1
    assert asked > 40


def test_takes_most_room() -> None:
    large = Entity("car", Box(0.0, 0.0, 0.5, 0.5))
    small = Entity("cat", Box(0.6, 0.6, 0.8, 0.8))
    turn = reasoning.takes_most_room(scene_of(entities=(small, large)), RNG)
    assert turn
    assert turn.answer.startswith("The car needs")
    alike = Entity("dog", Box(0.5, 0.5, 0.95, 0.95))
    assert reasoning.takes_most_room(scene_of(entities=(alike, large)), RNG) is None


def test_take_one_away() -> None:
    for scene in drawn_scenes(60):
        turn = reasoning.take_one_away(scene, RNG)
        assert turn
        rest = len(scene.entities) - 1
        assert turn.answer.startswith(NUMBERS[rest].capitalize() if rest else "Nothing")
    unknown = scene_of(("dog", 0.5, 0.5), complete=False)
    assert reasoning.take_one_away(unknown, RNG) is None
