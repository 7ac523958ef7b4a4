import pytest

from tests.instruct.drawn import scene_of
from tests.instruct.grounding.coco_scene import judged


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("The man is to the left of the couch.", "pass"),
        ("The man sits on the right of the couch.", "fail"),
        ("The bicycle is above the couch.", "pass"),
        ("The bicycle hangs below the couch.", "fail"),
        ("To the right of the couch, there is a dog.", "pass"),
        ("To the right of the couch, there is a bicycle.", "fail"),
        ("The bicycle is on the right side of the image.", "fail"),
        ("The bicycle is in the top left corner of the picture.", "pass"),
        ("On the right side of the image, there is a bicycle.", "fail"),
        ("The bicycle stands in the bottom left.", "fail"),
        ("A dog is on the left.", "unknown"),
        ("A dog is on the right.", "pass"),
        ("The couch is in the middle.", "pass"),
        ("The man is in the center of the image.", "unknown"),
        ("The bicycle is on the right side of the road.", ""),
        ("The man raises his left hand.", ""),
        ("A dog on the couch and one on the left.", ""),
        ("The bicycle might be on the right.", ""),
        ("The cat is on the right.", ""),
        ("The couch is left of the person.", "fail"),
    ],
)
def test_positions(claim: str, verdict: str) -> None:
    assert judged("positions", claim) == verdict


def test_short_answers() -> None:
    question = "Is the couch to the left or to the right of the person?"
    assert judged("positions", "To the right.", question) == "pass"
    assert judged("positions", "To the left.", question) == "fail"
    assert judged("positions", "A bicycle.", "What is above the couch?") == "pass"
    assert judged("positions", "A bicycle.", "What is below the couch?") == "fail"


def test_close_things_are_unknown_and_other_modalities_are_left_alone() -> None:
    near = scene_of(("dog", 0.5, 0.5), ("cat", 0.4, 0.5))
    claim = "The cat is to the left of the dog."
    assert judged("positions", claim, scene=near) == "unknown"
    assert judged("positions", claim, scene=scene_of(modality="video")) == ""
