"""What answers say of a room: read exactly, and wrong as soon as the room is another."""

import random
from dataclasses import replace

import pytest

from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.space import space
from llava_jax.instruct.scene import Cuboid, Scene
from llava_jax.instruct.teacher.space import WRITERS
from llava_jax.instruct.turns import Turn
from tests.instruct.rooms import STUDY, mirrored, room

STUDY_ROOM = room(*STUDY)


def found(
    answer: str, question: str = "Where is what?", scene: Scene = STUDY_ROOM
) -> list[Finding]:
    return space(scene, [Turn(question, answer)])


CLAIMS = {
    "The lamp is above the desk.": "pass",
    "The desk is above the lamp.": "fail",
    "The sofa is under the lamp.": "unknown",
    "The lamp is standing on the desk.": "pass",
    "The lamp is on the sofa.": "fail",
    "The lamp is supported by the desk.": "pass",
    "The sofa is about 3.2 m from the desk.": "pass",
    "The sofa is 3.2 meters away from the desk.": "pass",
    "The sofa is 30 cm from the desk.": "fail",
    "The sofa is roughly 12 feet from the desk.": "pass",
    "The screen is taller than the plant.": "pass",
    "The screen is much shorter than the plant.": "fail",
    "The sofa is larger than the lamp.": "pass",
    "The lamp is bigger than the sofa.": "fail",
    "The lamp is closest to the desk.": "pass",
    "The sofa is nearest to the desk.": "fail",
    "The door is farthest from the window.": "pass",
    "The plant is furthest away from the window.": "fail",
    "From the door, the sofa is on the left.": "pass",
    "Standing at the door, the sofa is on your right.": "fail",
    "Standing at the window and looking at the door, the sofa is on the right.": "pass",
    "Standing at the window and facing the wall, the sofa is on the right.": "unknown",
    "Seen from the door, the sofa is to the left of the plant.": "pass",
    "The sofa is to the right of the plant when seen from the door.": "fail",
    "From the door, the screen is in front of the plant.": "pass",
    "From the window, the screen is in front of the plant.": "fail",
    "From the door, the plant is mostly hidden by the screen.": "pass",
    "From the door, the screen is hidden by the plant.": "fail",
    "The sofa is to the left of the plant.": "unknown",
    "We look from the door. The plant is in front of the screen.": "unknown",  # its own front?
    "The lamp standing at the door is to the left of the sofa.": "none",
    "The sofa is not above the desk.": "none",
    "If the lamp is on the sofa, move it.": "none",
    "The lamp might be on the sofa.": "none",
    "The floor lamp is on the sofa.": "none",
    "The lamp on the desk is above the sofa.": "none",
    "The light from the door is on the left.": "none",
    "A lamp is on the sofa.": "none",
}


@pytest.mark.parametrize(("answer", "verdict"), CLAIMS.items())
def test_claims(answer: str, verdict: str) -> None:
    verdicts = [finding.verdict for finding in found(answer)]
    assert verdicts in ([], ["unknown"]) if verdict == "none" else verdicts == [verdict]


def test_findings_say_where_and_why() -> None:
    (finding,) = found("I think so. The sofa is 30 cm from the desk.")
    assert finding.text == "The sofa is 30 cm from the desk"
    assert finding.span.start == len("I think so. ")
    assert finding.evidence == "3.15 m between surfaces, 4.00 m between centres"


def test_the_question_may_state_the_viewpoint() -> None:
    question = "Imagine standing at the window and looking at the door. Where is the sofa?"
    assert [f.verdict for f in found("The sofa is on your right.", question)] == ["pass"]
    two = "From the door, or seen from the window, which is it?"
    assert [f.verdict for f in found("The sofa is on your right.", two)] == ["unknown"]


def test_two_things_of_one_name_are_not_judged() -> None:
    scene = room(*STUDY, ("floor lamp", (0.0, 1.0, 0.5), (0.3, 0.3, 1.0)))
    assert found("The lamp is on the sofa.", scene=scene) == []


def responses(scene: Scene) -> list[list[Turn]]:
    return [write(scene, random.Random(seed)) for write in WRITERS.values() for seed in range(3)]


def furnished(seed: int) -> Scene:
    """The study with its furniture moved about."""
    rng = random.Random(seed)
    things = []
    for label, (x, y, z), size in STUDY:
        still = label in ("floor", "door", "window")
        moved = (x, y, z) if still else (rng.uniform(-2.5, 2.5), rng.uniform(0.5, 5.0), z)
        things.append((label, moved, size))
    return room(*things)


@pytest.mark.parametrize("seed", range(3))
def test_the_rule_based_teacher_passes(seed: int) -> None:
    scene = furnished(seed)
    findings = [f for turns in responses(scene) for f in space(scene, turns)]
    assert len(findings) > 10
    assert [f for f in findings if f.verdict != "pass"] == []


def swapped(scene: Scene) -> Scene:
    """Every box at another thing's place, sizes and all."""
    names = [e for e in scene.entities if e.label not in ("floor", "door", "window")]
    boxes = [entity.place for entity in names]
    moved = dict(zip([e.id for e in names], boxes[2:] + boxes[:2], strict=True))
    entities = [replace(e, place=moved.get(e.id, e.place)) for e in scene.entities]
    return replace(scene, entities=tuple(entities))


def stretched(scene: Scene) -> Scene:
    """All distances three times as long, boxes as they were."""

    def stretch(box: Cuboid) -> Cuboid:
        x, y, z = box.center
        return Cuboid((3 * x, 3 * y, z), box.size, box.axes)

    entities = [replace(e, place=stretch(e.cuboid)) for e in scene.entities]
    return replace(scene, entities=tuple(entities))


def rejected(scene: Scene, other: Scene, words: tuple[str, ...]) -> list[bool]:
    """Of the teacher's claims with those words: whether another room makes each fail."""
    return [
        finding.verdict == "fail"
        for turns in responses(scene)
        for finding in space(other, turns)
        if any(word in finding.text for word in words)
    ]


def test_a_mirrored_room_is_rejected() -> None:
    scenes = [furnished(seed) for seed in range(3)]
    sides = ("on the left", "on the right", "to the left of", "to the right of")
    verdicts = [v for scene in scenes for v in rejected(scene, mirrored(scene), sides)]
    assert len(verdicts) > 30 and sum(verdicts) / len(verdicts) >= 0.95


def test_other_distances_are_rejected() -> None:
    scenes = [furnished(seed) for seed in range(3)]
    verdicts = [v for scene in scenes for v in rejected(scene, stretched(scene), (" m from ",))]
    assert len(verdicts) > 20 and sum(verdicts) / len(verdicts) >= 0.95


def test_exchanged_things_are_rejected() -> None:
    scenes = [furnished(seed) for seed in range(3)]
    broken = [
        any(f.verdict == "fail" for f in space(swapped(scene), turns))
        for scene in scenes
        for turns in responses(scene)
        if space(scene, turns)
    ]
    assert sum(broken) / len(broken) >= 0.95
