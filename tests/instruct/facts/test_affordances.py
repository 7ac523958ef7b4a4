"""Affordances by rule (silence means no) and by hand (silence means unknown), and states."""

import pytest

from llava_jax.instruct.facts.affordances import can, gerund, is_in_state
from llava_jax.instruct.scene import Entity, Exhaustive
from tests.instruct.rooms import room


@pytest.mark.parametrize(
    ("verb", "form"),
    [("open", "opening"), ("sit on", "sitting on"), ("lie on", "lying on"), ("slice", "slicing")],
)
def test_gerunds(verb: str, form: str) -> None:
    assert gerund(verb) == form


def test_silence_means_no_only_where_all_are_listed() -> None:
    window, sofa = Entity("window", affordances=("opening",)), Entity("sofa", affordances=("sit",))
    listed = room(exhaustive=Exhaustive(affordances=("open",)))
    assert can(listed, window, "open") is True
    assert can(listed, sofa, "open") is False
    assert can(listed, sofa, "slice") is None
    assert can(room(exhaustive=Exhaustive()), sofa, "open") is None


def test_states_and_their_opposites() -> None:
    door = Entity("door", states=("open", "white"))
    states = {state: is_in_state(door, state) for state in ("open", "closed", "dirty")}
    assert states == {"open": True, "closed": False, "dirty": None}
