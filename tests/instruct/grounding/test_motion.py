"""Motion as tracks show it passes, mirrored motion fails."""

import random

import pytest

from llava_jax.instruct.facts.video import OPPOSITE, Motion
from llava_jax.instruct.grounding.motion import motion
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn
from tests.instruct.filmed import moving, track_of

SCENE = moving(
    track_of("dog", (0.2, 0.5), (0.4, 0.5), (0.7, 0.5)),
    track_of("person", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), sizes=(0.5, 0.4, 0.3)),
    track_of("car", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
)


def verdicts(answer: str, scene: Scene = SCENE) -> list[str]:
    findings = motion(scene, [Turn("What moves?", answer)])
    for finding in findings:
        assert answer[finding.span.start : finding.span.end] == finding.text
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("The dog runs to the right.", "pass"),
        ("The dog is moving from left to right.", "pass"),
        ("The dog runs to the left side of the frame.", "fail"),
        ("A dog walks leftwards.", "fail"),
        ("The man walks away.", "pass"),
        ("The woman walked away from the camera.", "pass"),
        ("The person comes closer.", "fail"),
        ("The person walks towards the camera.", "fail"),
        ("The car drives to the left.", "warn"),
        ("The car comes closer.", "warn"),
        ("The dog comes closer.", "unknown"),  # its size stays, its place does not
        ("The dog might run to the left.", "unknown"),
        ("The dog does not move to the left.", "unknown"),
        ("The cat runs to the left.", "unknown"),
        ("The man beside the dog walks to the left.", "unknown"),
        ("The dog turns its head to the left.", "unknown"),
    ],
)
def test_motion_is_judged_by_the_track(answer: str, verdict: str) -> None:
    assert verdicts(answer) == [verdict]


@pytest.mark.parametrize(
    "answer",
    [
        "The dog lies to the left of the car.",
        "The dog runs to the left of the car.",
        "The man walks away from the dog.",
        "The man comes closer to the dog.",
        "The dog turns to its left.",
    ],
)
def test_places_and_other_goals_are_no_such_motion(answer: str) -> None:
    assert verdicts(answer) == []


def test_two_of_a_label_cannot_be_told_apart() -> None:
    one, other = SCENE.tracks[:2]
    scene = moving(one, other)
    twins = (scene.entities[0], scene.entities[0].__class__("dog", id="person"))
    pair = moving(one, other, entities=twins)
    assert verdicts("The dog runs to the left.", pair) == ["unknown"]


_TOLD: dict[Motion, str] = {
    "left": "The {} moves to the left.",
    "right": "The {} goes from left to right.",
    "up": "The {} flies upwards.",
    "down": "Slowly, the {} drifts downward.",
    "nearer": "The {} comes closer to the camera.",
    "farther": "The {} is moving away from the viewer.",
}


def test_mirrored_motion_is_rejected() -> None:
    """At least 95% of the claims about invented tracks, and no true one."""
    rng = random.Random(2)
    true, mirrored = [], []
    for _ in range(40):
        label = rng.choice(("dog", "car", "person", "horse"))
        for way, told in _TOLD.items():
            scene = moving(_track(label, way, rng))
            true += verdicts(told.format(label), scene)
            mirrored += verdicts(_TOLD[OPPOSITE[way]].format(label), scene)
    assert set(true) == {"pass"}
    assert mirrored.count("fail") >= 0.95 * len(mirrored) > 200


def _track(label: str, way: Motion, rng: random.Random):
    """Five places on a straight way, with some jitter."""
    step = rng.uniform(0.05, 0.1)
    dx = {"left": -step, "right": step}.get(way, 0.0)
    dy = {"up": -step, "down": step}.get(way, 0.0)
    growth = {"nearer": 1.15, "farther": 1 / 1.15}.get(way, 1.0)
    jitter = [rng.uniform(-0.01, 0.01) for _ in range(5)]
    centers = [(0.5 + (n - 2) * dx + j, 0.5 + (n - 2) * dy) for n, j in enumerate(jitter)]
    return track_of(label, *centers, sizes=[0.2 * growth**n for n in range(5)])
