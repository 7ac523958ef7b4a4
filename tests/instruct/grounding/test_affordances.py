"""What answers say can be done, and which states they give things."""

from dataclasses import replace

import pytest

from llava_jax.instruct.grounding.affordances import affordances
from llava_jax.instruct.scene import Entity, Exhaustive, Scene
from llava_jax.instruct.turns import Turn
from tests.instruct.houses import task
from tests.instruct.rooms import room

WINDOW = Entity("window", id="w", affordances=("opening",), states=("closed", "dirty"))
ROOM = room(exhaustive=Exhaustive(), entities=(WINDOW, Entity("sofa", id="s")))


def verdicts(scene: Scene, answer: str) -> list[str]:
    return [finding.verdict for finding in affordances(scene, [Turn("What can I do?", answer)])]


@pytest.mark.parametrize(
    ("answer", "expected"),
    {
        "You can open the fridge.": ["pass"],
        "You can open the sofa.": ["fail"],
        "One can easily grab the egg.": ["pass"],
        "The sofa can be opened.": ["fail"],
        "The sofa cannot be opened.": ["pass"],
        "You can't open the fridge.": ["fail"],
        "You can switch on the knife.": ["fail"],
        "If you can open the sofa, do.": [],
        "Someone who can open the sofa is strong.": [],
        "You can open the bottle.": [],
        "You can see the sofa.": [],
        "The fridge is open.": ["unknown"],  # it is opened and closed on the way
    }.items(),
)
def test_what_rules_list_is_certain(answer: str, expected: list[str]) -> None:
    assert verdicts(task(), answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    {
        "You can open the window.": ["pass"],
        "You can open the sofa.": ["unknown"],  # nobody said that all is listed
        "The window is closed.": ["pass"],
        "The window is open and clean.": ["fail"],
        "The window is still dirty.": ["pass"],
        "The window is on the left.": [],
        "The window is full.": ["unknown"],
    }.items(),
)
def test_what_people_listed_may_be_incomplete(answer: str, expected: list[str]) -> None:
    assert verdicts(ROOM, answer) == expected


def test_of_two_things_none_is_judged() -> None:
    two = replace(ROOM, entities=(WINDOW, replace(WINDOW, id="x")))
    assert verdicts(two, "The window is open.") == []
    assert affordances(ROOM, [Turn("Is the window open?", "Maybe.")]) == []
