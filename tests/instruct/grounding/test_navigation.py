"""What answers say of ways: read exactly, and wrong as soon as the house is another."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from llava_jax.instruct.grounding.navigation import navigation
from llava_jax.instruct.scene import Edge, Exhaustive, Frame, Scene
from llava_jax.instruct.teacher.embodied import WRITERS
from llava_jax.instruct.turns import Turn
from tests.instruct.houses import house

CLAIMS = {
    "The shortest way from the hall to the kitchen is 9 m long.": "pass",
    "The shortest route from the hall to the kitchen is about 9.5 meters.": "pass",
    "The shortest way from the hall to the kitchen is 14 m long.": "fail",
    "The way from the hall to the kitchen is 14 m long.": "unknown",
    "The way from the hall to the kitchen is 3 m long.": "fail",
    "The shortest way from the hall to the shed is 12 m long.": "fail",
    "The hall is 6.5 m from the kitchen.": "pass",  # through the walls
    "The hall is 9 m from the kitchen.": "pass",
    "The hall is 2 m from the kitchen.": "fail",
    "There is no way from the hall to the shed.": "pass",
    "There is a way from the hall to the shed.": "fail",
    "There is no way from the hall to the pantry.": "fail",
    "The shed cannot be reached from the hall.": "pass",
    "The shed can be reached from the hall.": "fail",
    "From the stairs, you can go directly to the hall, the kitchen and the bedroom.": "pass",
    "From the hall you can go directly to the kitchen.": "fail",
    "You can walk from the hall to the pantry.": "pass",
    "You can walk directly from the hall to the pantry.": "fail",
    "From the hall, go straight on to the stairs.": "pass",
    "From the hall, turn left and go to the stairs.": "fail",
    "Go from the hall to the stairs. At the stairs, turn left and go to the kitchen.": "pass",
    "Go from the hall to the stairs. At the stairs, turn right and go to the kitchen.": "fail",
    "Go from the kitchen to the stairs. Turn left at the stairs and go to the bedroom.": "fail",
    "Go from the hall to the stairs. At the stairs, turn left and go to the pantry.": "unknown",
    "At the stairs, turn left and go to the kitchen.": "unknown",
    "If the shed can be reached from the hall, go.": "none",
    "The hallway is 2 m from the kitchen.": "none",
    "Go to the shed.": "none",
}


@pytest.mark.parametrize(("answer", "verdict"), CLAIMS.items())
def test_claims(answer: str, verdict: str) -> None:
    verdicts = [f.verdict for f in navigation(house(), [Turn("How do I get there?", answer)])]
    assert verdicts == ([] if verdict == "none" else [verdict])


@pytest.mark.parametrize(
    ("answer", "verdict"),
    {
        "There is a way from the hall to the shed.": "unknown",
        "From the hall you can go directly to the kitchen.": "unknown",
        "There is no way from the hall to the pantry.": "fail",
    }.items(),
)
def test_a_list_that_is_not_whole_shows_only_what_there_is(answer: str, verdict: str) -> None:
    scene = house(exhaustive=Exhaustive())
    assert [f.verdict for f in navigation(scene, [Turn("?", answer)])] == [verdict]


def test_findings_say_where_and_why() -> None:
    (finding,) = navigation(house(), [Turn("?", "Well. The hall is 2 m from the kitchen.")])
    assert (finding.span.start, finding.text) == (6, "The hall is 2 m from the kitchen")
    assert finding.evidence == "6.4 m in a straight line, 9.0 m to walk"


def test_numbered_places() -> None:
    scene = house()
    scene = replace(scene, nodes=tuple(replace(node, text="") for node in scene.nodes))
    answer = (
        "The shortest way from place 1 to place 3 is 9 m long. At place 2, turn right and go to "
        "place 3."
    )
    assert [f.verdict for f in navigation(scene, [Turn("?", answer)])] == ["pass", "fail"]


def houses() -> list[Scene]:
    """The same map, as R2R's way could lead over it."""
    ways = (("n1", "n2"), ("n1", "n3"), ("n1", "n2", "n4"), ("n1",))
    scene = house()
    go = scene.actions[0]
    return [replace(scene, actions=tuple(replace(go, node=n) for n in way)) for way in ways]


def claims(scene: Scene, other: Scene) -> list[str]:
    """Verdicts of another house's scene on what the teacher says of this one."""
    return [
        finding.verdict
        for write in WRITERS.values()
        for seed in range(5)
        for finding in navigation(other, write(scene, random.Random(seed)))
    ]


def test_the_rule_based_teacher_passes() -> None:
    verdicts = [verdict for scene in houses() for verdict in claims(scene, scene)]
    assert len(verdicts) > 100 and set(verdicts) == {"pass"}


def rejections(change: Callable[[Scene], Scene], words: tuple[str, ...]) -> list[bool]:
    """Of the teacher's claims with those words, whether the changed house makes each fail."""
    return [
        finding.verdict == "fail"
        for scene in houses()
        for write in WRITERS.values()
        for seed in range(5)
        for finding in navigation(change(scene), write(scene, random.Random(seed)))
        if any(word in finding.text for word in words)
    ]


def test_a_mirrored_house_is_rejected() -> None:
    frame = Frame("+z", right="-x", forward="+y", handedness="left")
    verdicts = rejections(lambda scene: replace(scene, frame=frame), ("left", "right"))
    assert len(verdicts) > 10 and sum(verdicts) / len(verdicts) >= 0.95


def test_cut_ways_are_rejected() -> None:
    """Every claim of a way breaks without doors, and every "no way" with doors everywhere."""
    words = ("shortest way", "directly", "go to")
    cut = rejections(lambda scene: replace(scene, edges=()), words)
    assert len(cut) > 50 and sum(cut) / len(cut) >= 0.95
    pairs = itertools.combinations(house().nodes, 2)
    everywhere = tuple(Edge(a.id, b.id, 1.0) for a, b in pairs)
    opened = rejections(lambda scene: replace(scene, edges=everywhere), ("no way",))
    assert opened and all(opened)


def test_other_lengths_are_rejected() -> None:
    def stretched(scene: Scene) -> Scene:
        return replace(scene, edges=tuple(replace(e, length=3 * e.length) for e in scene.edges))

    verdicts = rejections(stretched, ("shortest way",))
    assert len(verdicts) > 20 and sum(verdicts) / len(verdicts) >= 0.95
