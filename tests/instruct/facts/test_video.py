"""Only what is certain of a video is a fact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_jax.instruct.facts.video import (
    INVERSE,
    OPPOSITE,
    allen,
    at_edge,
    coincide,
    is_still,
    lasting_relations,
    lasts,
    motions,
    moves,
    ordered_pairs,
    parts,
    precedes,
)
from llava_jax.instruct.scene import Event, Interval, Relation, Track
from tests.instruct.filmed import during, invented_videos, track_of, video_of

times = st.floats(0, 20, allow_nan=False)
intervals = st.tuples(times, times).map(lambda ends: Interval(min(ends), max(ends)))


@pytest.mark.parametrize(
    ("b", "relation"),
    [
        ((20, 30), "before"),
        ((15.4, 30), "meets"),
        ((12, 30), "overlaps"),
        ((10.3, 30), "starts"),
        ((5, 30), "during"),
        ((5, 15.2), "finishes"),
        ((9.8, 15.2), "equals"),
        ((12, 15), "finished by"),
        ((12, 13), "contains"),
        ((10, 13), "started by"),
        ((5, 13), "overlapped by"),
        ((5, 9.7), "met by"),
        ((5, 9), "after"),
    ],
)
def test_allens_thirteen_relations(b: tuple[float, float], relation: str) -> None:
    one, other = during(10, 15), during(*b)
    assert allen(one, other) == relation
    assert allen(other, one) == INVERSE[relation]


@given(intervals, intervals)
def test_relations_are_each_others_inverse(a: Interval, b: Interval) -> None:
    assert allen(b, a) == INVERSE[allen(a, b)]
    assert allen(a, a) == "equals"
    if precedes(a, b):
        assert precedes(b, a) is False
        assert not coincide(a, b)


def test_order_and_sharing_time_have_a_doubtful_middle() -> None:
    a = during(10, 15)
    assert precedes(a, during(15, 20)) is True
    assert precedes(a, during(14, 20)) is None
    assert precedes(a, during(2, 10)) is False
    assert [coincide(a, during(start, 30)) for start in (12, 15.2, 16, 17.5)] == [
        True,
        None,
        None,
        False,
    ]


def test_pairs_in_order_leave_out_what_overlaps() -> None:
    scene = video_of(("c", 20, 30), ("a", 0, 10), ("b", 8, 22))
    assert [(a.text, b.text) for a, b in ordered_pairs(scene)] == [("a", "c")]


def test_pairs_of_a_chain_are_all_of_its_pairs() -> None:
    for scene in invented_videos(10):
        count = len(scene.events)
        assert len(ordered_pairs(scene)) == count * (count - 1) // 2


def test_the_edges_of_a_video() -> None:
    assert at_edge(during(3, 50), 60.0, "start") is True
    assert at_edge(during(10, 50), 60.0, "start") is None
    assert at_edge(during(31, 50), 60.0, "start") is False
    assert at_edge(during(31, 55), 60.0, "end") is True
    assert at_edge(during(2, 20), 60.0, "end") is False
    assert at_edge(during(2, 20), 0.0, "end") is None


@pytest.mark.parametrize(
    ("seconds", "truth"), [(10, True), (9, True), (11, True), (12, None), (30, False), (5, False)]
)
def test_a_length_is_known_to_both_ends_tolerance(seconds: float, truth: bool | None) -> None:
    assert lasts(during(5, 15), float(seconds)) is truth


@pytest.mark.parametrize(
    ("track", "certain"),
    [
        (track_of("a", (0.2, 0.5), (0.35, 0.5), (0.5, 0.5)), ["right"]),
        (track_of("a", (0.5, 0.8), (0.35, 0.5), (0.2, 0.2)), ["left", "up"]),
        (track_of("a", (0.2, 0.5), (0.5, 0.5), (0.3, 0.5)), []),  # there and back
        (track_of("a", (0.2, 0.5), (0.3, 0.5)), []),  # a small step
        (track_of("a", (0.5, 0.5), (0.5, 0.5), sizes=(0.2, 0.4)), ["nearer"]),
        (track_of("a", (0.5, 0.5), (0.5, 0.5), sizes=(0.4, 0.2)), ["farther"]),
        (track_of("a", (0.5, 0.5), (0.5, 0.5), sizes=(0.2, 0.22)), []),
        (track_of("a", (0.5, 0.6), (0.5, 0.6), sizes=(0.4, 0.8)), []),  # cut off below
        (track_of("a", (0.5, 0.5)), []),
        (Track("a", ()), []),
    ],
)
def test_motion_needs_clear_steps(track: Track, certain: list[str]) -> None:
    assert motions(track) == certain
    for motion in certain:
        assert moves(track, OPPOSITE[motion]) is False
    assert not is_still(track)


def test_still_things_neither_move_nor_grow() -> None:
    assert is_still(track_of("a", (0.5, 0.5), (0.52, 0.5), (0.5, 0.49)))
    assert not is_still(track_of("a", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), sizes=(0.2, 0.2, 0.3)))
    assert not is_still(track_of("a", (0.5, 0.5), (0.5, 0.5)))


def test_who_takes_part_in_what_and_what_holds_when() -> None:
    events = (
        Event("drops a cup", during(5, 6), ("p", "c")),
        Event("lifts a cup", during(1, 2), ("p", "c")),
        Event("sits", during(3, 4), ("p",)),
    )
    holds = Relation("p", "holds", "c", during(1, 5))
    sees = Relation("p", "sees", "c", during(0, 5))
    scene = video_of(events=events, relations=(holds, Relation("p", "near", "c"), sees))
    assert {entity: [e.text.split()[0] for e in es] for entity, es in parts(scene).items()} == {
        "p": ["lifts", "sits", "drops"],
        "c": ["lifts", "drops"],
    }
    assert lasting_relations(scene) == [(during(0, 5), sees), (during(1, 5), holds)]
