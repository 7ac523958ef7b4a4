"""Turns about rooms: the kinds of response, in words, the same for the same seed."""

import random
import re

import pytest

from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher.space import WRITERS
from llava_jax.instruct.turns import RESPONSES
from tests.instruct.rooms import STUDY, room


@pytest.mark.parametrize("kind", RESPONSES["space"])
def test_turns_are_words_and_repeat_by_seed(kind: str) -> None:
    scene, write = room(*STUDY), WRITERS[kind]
    turns = write(scene, random.Random(3))
    assert turns == write(scene, random.Random(3))
    assert turns and len({turn.question for turn in turns}) == len(turns)
    for turn in turns:
        assert turn.question[-1] in "?." and turn.answer[-1] == "."
        assert not re.search(r"[\[\](){}]|\d\.\d\d", turn.question + turn.answer)


@pytest.mark.parametrize("scene", [room(), room(STUDY[0])], ids=["nothing", "a floor"])
def test_a_room_that_gives_nothing_to_say(scene: Scene) -> None:
    assert [write(scene, random.Random(0)) for write in WRITERS.values()] == [[], [], []]


def test_the_viewpoint_is_stated_and_its_sides_are_the_viewer_s() -> None:
    turns = WRITERS["viewpoint"](room(*STUDY), random.Random(0))
    assert "standing at the door and looking into the room" in turns[0].question
    assert "the sofa on the left, the desk and the lamp on the right" in turns[0].answer
