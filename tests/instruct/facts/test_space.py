"""Relations of boxes in metres against distances and heights that can be reckoned by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from llava_jax.instruct.facts import space
from llava_jax.instruct.scene import Cuboid, Entity, Frame, Relation
from tests.instruct.rooms import STUDY, named, room

STUDY_ROOM = room(*STUDY)


def thing(center: tuple, size: tuple, turn: float = 0.0) -> Entity:
    """Turned about z by so many radians."""
    c, s = math.cos(turn), math.sin(turn)
    return Entity("thing", Cuboid(center, size, ((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0))))


def test_distances_by_surface_and_centre() -> None:
    a, b = thing((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)), thing((4.0, 5.0, 0.0), (2.0, 2.0, 2.0))
    assert space.center_distance(a, b) == pytest.approx(math.hypot(4, 5))
    assert space.surface_distance(a, b) == pytest.approx(math.hypot(2, 3), abs=1e-3)
    turned = thing((4.0, 0.0, 0.0), (2.0, 2.0, 2.0), math.pi / 4)
    assert space.surface_distance(a, turned) == pytest.approx(3 - math.sqrt(2), abs=1e-3)
    assert space.surface_distance(a, thing((1.5, 0.0, 0.0), (2.0, 2.0, 2.0))) == 0


def test_surface_distances_equal_those_of_an_optimiser() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        a, b = (
            thing(tuple(rng.uniform(-3, 3, 3)), tuple(rng.uniform(0.2, 2, 3)), rng.uniform(0, 3))
            for _ in range(2)
        )
        frames = [(np.array(e.cuboid.center), np.array(e.cuboid.axes)) for e in (a, b)]
        halves = [np.array(e.cuboid.size) / 2 for e in (a, b)]

        def gap(inside: np.ndarray, frames: list = frames) -> float:
            one, other = (
                center + part @ axes
                for (center, axes), part in zip(frames, np.split(inside, 2), strict=True)
            )
            return float(np.sum((one - other) ** 2))

        limits = [(-h, h) for h in np.concatenate(halves)]
        best = minimize(gap, np.zeros(6), bounds=limits, tol=1e-12).fun
        assert space.surface_distance(a, b) == pytest.approx(math.sqrt(best), abs=0.01)


def test_a_claimed_distance_may_be_of_surfaces_or_centres() -> None:
    a, b = thing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), thing((3.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    claims = {2.0: True, 2.5: True, 3.0: True, 1.4: None, 1.0: False, 6.0: False}
    assert {metres: space.distance_is(a, b, metres) for metres in claims} == claims


def test_above_needs_height_and_overlap() -> None:
    lamp, desk, sofa = (named(STUDY_ROOM, label) for label in ("lamp", "desk", "sofa"))
    assert space.above(STUDY_ROOM, lamp, desk) is True
    assert space.above(STUDY_ROOM, desk, lamp) is False
    assert space.above(STUDY_ROOM, lamp, sofa) is None  # higher, but not over it


def test_support_by_boxes_or_by_relations() -> None:
    lamp, desk, sofa = (named(STUDY_ROOM, label) for label in ("lamp", "desk", "sofa"))
    assert space.supports(STUDY_ROOM, desk, lamp) is True
    assert space.supports(STUDY_ROOM, lamp, desk) is False
    assert space.supports(STUDY_ROOM, sofa, lamp) is False  # metres apart
    pairs = {(on.label, below.label) for on, below in space.support_pairs(STUDY_ROOM)}
    assert {("lamp", "desk"), ("sofa", "floor"), ("desk", "floor")} <= pairs
    assert ("lamp", "floor") not in pairs
    stated = room(
        ("shelf", (0.0, 0.0, 1.0), (1.0, 0.3, 2.0)),
        ("book", (0.0, 0.0, 1.0), (0.2, 0.2, 0.3)),
        relations=(Relation("1", "standing on", "0"),),
    )
    shelf, book = stated.entities
    assert space.supports(stated, shelf, book) is True
    assert space.supports(stated, book, shelf) is False


def test_sizes_with_margins() -> None:
    small, slightly, large = (thing((0.0, 0.0, 0.0), (1.0, 1.0, h)) for h in (1.0, 1.1, 2.0))
    assert [space.larger(large, e) for e in (small, large)] == [True, None]
    assert space.larger(small, large) is False
    assert space.larger(slightly, small) is None
    assert space.taller(STUDY_ROOM, slightly, small) is None
    assert space.taller(STUDY_ROOM, large, small) is True


@pytest.mark.parametrize("up", ["+x", "-y", "+z"])
def test_height_follows_the_frame(up: str) -> None:
    scene = room(("post", (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)), frame=Frame(up=up))
    assert space.height(scene, scene.entities[0]) == {"+x": 1.0, "-y": 2.0, "+z": 3.0}[up]


def test_nearest_and_farthest_only_where_certain() -> None:
    scene = room(
        *[
            (label, (x, 0.0, 0.0), (0.2, 0.2, 0.2))
            for label, x in {"a": 0.0, "b": 1.0, "c": 3.0, "d": 3.1}.items()
        ]
    )
    a, b, c, d = scene.entities
    assert [space.is_nearest(scene, one, a) for one in (b, c, d)] == [True, False, False]
    assert [space.is_farthest(scene, one, a) for one in (b, c, d)] == [False, None, None]
    assert space.is_farthest(scene, d, b) is None  # c is about as far
    alone = room(*STUDY[1:3])
    assert space.is_nearest(alone, *alone.entities) is True
    for one, other in itertools.permutations([b, c, d], 2):
        opposite = space.nearer(other, one, a)
        assert space.nearer(one, other, a) is (None if opposite is None else not opposite)


def test_only_things_that_their_name_singles_out_are_facts() -> None:
    scene = room(*STUDY, ("sofa", (0.0, 0.0, 3.0), (1.0, 1.0, 1.0)))
    labels = {entity.label for entity in space.single_entities(scene)}
    assert labels == {"door", "desk", "lamp", "screen", "plant", "window"}
