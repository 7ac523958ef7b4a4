"""Ways, turns and plans against maps that can be walked by hand."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from llava_jax.instruct.facts import navigation
from llava_jax.instruct.facts.navigation import Route
from llava_jax.instruct.scene import Action, Edge, Frame, Node
from tests.instruct.houses import house, task


def test_shortest_routes() -> None:
    scene = house()
    assert navigation.shortest_route(scene, "n0", "n2") == Route(("n0", "n1", "n2"), 9.0)
    assert navigation.shortest_route(scene, "n3", "n3") == Route(("n3",), 0.0)
    assert navigation.shortest_route(scene, "n0", "n5") is None
    assert navigation.route_along(scene, ["n0", "n1"]) == Route(("n0", "n1"), 5.0)
    assert navigation.route_along(scene, ["n0", "n2"]) is None
    assert navigation.scene_route(scene) == Route(("n0", "n1", "n2"), 9.0)
    assert navigation.scene_route(task()) is None


def test_routes_equal_those_of_all_pairs_relaxation() -> None:
    rng = np.random.default_rng(0)
    ids = [f"n{i}" for i in range(8)]
    nodes = tuple(Node(id) for id in ids)
    pairs = [pair for pair in itertools.combinations(ids, 2) if rng.random() < 0.3]
    edges = tuple(Edge(*pair, float(rng.uniform(1, 5))) for pair in pairs)
    scene = house(nodes=nodes, edges=edges)
    best = {(a, b): 0.0 if a == b else math.inf for a in ids for b in ids}
    for edge in edges:
        best[edge.start, edge.end] = best[edge.end, edge.start] = edge.length
    for middle, a, b in itertools.product(ids, repeat=3):
        best[a, b] = min(best[a, b], best[a, middle] + best[middle, b])
    for (a, b), length in best.items():
        route = navigation.shortest_route(scene, a, b)
        assert (route.length if route else math.inf) == pytest.approx(length)


@pytest.mark.parametrize(
    ("frame", "left"),
    [
        (Frame("+z", right="+x", forward="+y"), "left"),
        (Frame("+z", right="-x", forward="+y", handedness="left"), "right"),
    ],
)
def test_turns_follow_the_frame(frame: Frame, left: str) -> None:
    """At the stairs one turns left for the kitchen, which lies along -x."""
    scene = house(frame=frame)
    right = {"left": "right", "right": "left"}[left]
    assert navigation.turns(scene, ["n0", "n1", "n2"], 0.0) == ["straight", left]
    assert navigation.turns(scene, ["n0", "n1", "n3"], 180.0) == ["back", right]
    assert navigation.turns(scene, ["n0", "n1"]) == [None]
    assert navigation.turns(scene, ["n0", "n1", "n2", "n4"]) == [None, left, right]


def test_turns_near_a_limit_are_open() -> None:
    assert [navigation.turn(0.0, float(angle)) for angle in (20, 32, 90, -90, 148, 170, 350)] == [
        "straight", None, "right", "left", None, "back", "straight",
    ]  # fmt: skip
    assert navigation.turns(house(frame=None), ["n0", "n1"], 0.0) == [None]


def test_places_are_named_by_their_only_text_or_their_number() -> None:
    scene = house(
        nodes=(Node("a"), Node("b", text="the den"), Node("c", text="x"), Node("d", text="x"))
    )
    assert list(navigation.node_names(scene).values()) == [
        "place 1",
        "the den",
        "place 3",
        "place 4",
    ]
    assert [entity.label for entity in navigation.seen_from(task(), "a")] == ["egg", "knife"]


def test_order_matters_between_steps_on_one_thing() -> None:
    scene = task()
    pick, opening, put, closing = 1, 3, 4, 5
    assert navigation.out_of_order(scene, [pick, opening, put, closing]) == []
    assert navigation.out_of_order(scene, [opening, pick, put]) == []  # either may come first
    assert navigation.out_of_order(scene, [put, pick]) == [(put, pick)]
    assert navigation.out_of_order(scene, [closing, opening, put]) == [
        (closing, opening),
        (closing, put),
    ]
    twice = replace(scene, actions=(*scene.actions, Action("pick up", ("egg",))))
    assert navigation.out_of_order(twice, [put, pick]) == []
