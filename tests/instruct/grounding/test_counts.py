import pytest

from llava_jax.instruct.scene import Exhaustive
from tests.instruct.drawn import scene_of
from tests.instruct.grounding.coco_scene import judged, with_crowd


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("There are three dogs in the image.", "pass"),
        ("Four dogs run.", "fail"),
        ("There are two dogs in the image.", "fail"),
        ("Two dogs are visible.", "fail"),
        ("There are two dogs on the couch.", "unknown"),
        ("Two dogs sit on the floor.", "unknown"),
        ("Two of the dogs sit.", "pass"),
        ("At least two dogs run.", "pass"),
        ("At least four dogs run.", "fail"),
        ("There are several dogs.", "pass"),
        ("There are several bicycles.", "fail"),
        ("There is a single dog in the image.", "fail"),
        ("There is only one dog.", "fail"),
        ("There are no dogs in the image.", "fail"),
        ("There are no dogs on the couch.", ""),
        ("There are no cats.", "pass"),
        ("Two women sit there.", "fail"),
        ("There are two people.", "fail"),
        ("There are two drivers.", "unknown"),
        ("Two slices of pizza lie there.", ""),
        ("Three dogs could come.", ""),
        ("No, there are as many dogs as cats.", ""),
    ],
)
def test_counts(claim: str, verdict: str) -> None:
    assert judged("counts", claim) == verdict


def test_short_answers() -> None:
    assert judged("counts", "Three.", "How many dogs are there?") == "pass"
    assert judged("counts", "Two.", "How many dogs are in the image?") == "fail"
    assert judged("counts", "There are 4.", "How many dogs are visible?") == "fail"
    assert judged("counts", "Yes.", "Is there a dog?") == ""
    assert judged("counts", "No.", "Is there a dog?") == "fail"
    assert judged("counts", "No.", "Is there a pair of scissors in the image?") == "pass"


def test_a_crowd_is_a_lower_bound() -> None:
    assert judged("counts", "Nine dogs run.", scene=with_crowd("dog")) == "unknown"


def test_captions_count_too() -> None:
    scene = scene_of(
        ("person", 0.5, 0.5),
        texts=("Two men and a woman.",),
        exhaustive=Exhaustive(("person",)),
    )
    assert judged("counts", "Three adults stand there.", scene=scene) == "pass"
    assert judged("counts", "Two adults stand there.", scene=scene) == "pass"
    assert judged("counts", "Four adults stand there.", scene=scene) == "fail"


def test_everything_counts_only_in_a_complete_scene() -> None:
    things = (("dog", 0.2, 0.2), ("cat", 0.8, 0.8))
    question = "How many objects are there?"
    assert judged("counts", "Two.", question, scene_of(*things)) == "pass"
    assert judged("counts", "Three.", question, scene_of(*things)) == "fail"
    assert judged("counts", "Three.", question, scene_of(*things, complete=False)) == ""
