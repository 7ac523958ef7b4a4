"""Turns about worlds to act in: the kinds of response, ways with turns, plans in order."""

import random

import pytest

from llava_jax.instruct.scene import Scene, Text
from llava_jax.instruct.teacher.embodied import WRITERS
from llava_jax.instruct.turns import RESPONSES
from tests.instruct.houses import house, task


@pytest.mark.parametrize("kind", RESPONSES["embodied"])
@pytest.mark.parametrize("scene", [house(), task()], ids=["house", "task"])
def test_turns_repeat_by_seed(kind: str, scene: Scene) -> None:
    turns = WRITERS[kind](scene, random.Random(3))
    assert turns == WRITERS[kind](scene, random.Random(3))
    assert turns and len({turn.question for turn in turns}) == len(turns)


def test_a_way_is_told_with_its_turns() -> None:
    (turn,) = WRITERS["plan"](house(), random.Random(0))
    assert turn.question == "How do I get from the hall to the kitchen?"
    assert turn.answer == (
        "From the hall, go straight on to the stairs. At the stairs, turn left and go to the "
        "kitchen. The way from the hall to the kitchen is 9.0 m long."
    )


def test_a_task_is_told_step_by_step() -> None:
    scene = task(texts=(Text("instruction", "Chill an egg."),))
    (turn,) = WRITERS["plan"](scene, random.Random(0))
    assert turn.question.startswith("Chill an egg. ")
    assert turn.answer.split("\n")[3:5] == ["4. Open the fridge.", "5. Put the egg in the fridge."]


def test_a_world_that_gives_nothing_to_say() -> None:
    scene = house(nodes=(), edges=(), actions=(), attributes={})
    assert [write(scene, random.Random(0)) for write in WRITERS.values()] == [[], [], []]
