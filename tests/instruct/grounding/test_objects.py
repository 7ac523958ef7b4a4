import pytest

from llava_jax.instruct.grounding.objects import objects
from llava_jax.instruct.scene import Exhaustive
from llava_jax.instruct.turns import Turn
from tests.instruct.drawn import scene_of
from tests.instruct.grounding.coco_scene import SCENE, judged


@pytest.mark.parametrize(
    "claim",
    [
        "There is a cat on the sofa.",
        "The man sits on the sofa next to a cat.",
        "The kitten sleeps.",
        "The man is riding a motorbike.",
        "The man holds a teddy bear.",
        "A hot dog lies on the couch.",
        "A fire truck is parked outside.",
        "An orange lies on the couch.",
        "The image shows chairs.",
        "In the image, two cats and a dog are playing.",
        "A man walks his dog while holding an umbrella.",
        "The books can be seen on the shelf.",
        "The man sits on a chair instead of the couch.",
        "A herd of sheep grazes.",
    ],
)
def test_absent_objects_fail(claim: str) -> None:
    assert judged("objects", claim) == "fail"


@pytest.mark.parametrize(
    "claim",
    [
        "A cat could jump on the sofa.",
        "If a cat came in, the dogs would bark.",
        "Skis are used to glide over snow.",
        "Cats often sleep on couches.",
        "The man looks like a bear.",
        "The man wears an orange shirt and the couch is orange.",
        "People enjoy such places, and their owners do.",
        "A statue of a horse stands behind the couch.",
        "A toy car lies on the floor.",
        "The man is waiting for a bus.",
        "He wants to catch the train.",
        "The man works as a pizza chef.",
        "The dogs bear no grudge against a bear or a horse.",
        "The scene features a bus stop and a car park.",
        "The man without a cat is happy.",
        "Vehicles are rare here.",
        "A vehicle is parked nearby.",
    ],
)
def test_what_is_not_claimed_does_not_fail(claim: str) -> None:
    assert judged("objects", claim) != "fail"


def test_supported_unknown_and_told() -> None:
    assert judged("objects", "The woman sits on a sofa.") == "pass"
    assert judged("objects", "There is a candle.") == "unknown"
    assert judged("objects", "There is a lamp.") == "pass"
    told = scene_of(texts=("A cat on a chair.",), exhaustive=SCENE.exhaustive)
    assert judged("objects", "A kitten sits on the chair.", scene=told) == "pass"


def test_questions_presuppose_what_they_name_with_the() -> None:
    assert judged("objects", "Red.", "What color is the cat?") == "fail"
    assert judged("objects", "No.", "Is there a cat?") == ""
    assert judged("objects", "Yes.", "Is there a cat?") == "fail"
    assert judged("objects", "Yes.", "Is there a dog?") == "pass"


def test_silence_means_absence_only_where_annotated() -> None:
    partly = scene_of(("dog", 0.5, 0.5), complete=False, exhaustive=Exhaustive(("dog",)))
    assert judged("objects", "There is a cat.", scene=partly) == "unknown"
    complete = scene_of(("dog", 0.5, 0.5), exhaustive=Exhaustive(("dog",), everything=True))
    assert judged("objects", "There is a cat.", scene=complete) == "fail"


def test_span_and_evidence() -> None:
    answer = "The dog sleeps. A black cat watches."
    (found,) = [f for f in objects(SCENE, [Turn("Describe.", answer)]) if f.verdict == "fail"]
    assert answer[found.span.start : found.span.end] == found.text == "A black cat"
    assert "cat" in found.evidence
