"""The rules that judge words alone: leaks, questions, form, writing."""

from dataclasses import replace

import pytest

from llava_jax.instruct.grounding.form import form
from llava_jax.instruct.scene import Text
from llava_jax.instruct.turns import Turn
from tests.instruct.grounding.coco_scene import SCENE, judged, worst


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("The caption says that a dog sleeps.", "fail"),
        ("According to the description, a dog sleeps.", "fail"),
        ("Based on the provided captions, a dog sleeps.", "fail"),
        ("The bounding box of the dog is large.", "fail"),
        ("The dog is at [0.12, 0.3, 0.4, 0.55].", "fail"),
        ("The dog is at (0.3, 0.4).", "fail"),
        ("The dog is described as tired.", "warn"),
        ("The dog weighs 3.5 kg, the cat 4.2.", ""),
        ("A poster with a funny caption hangs there.", ""),
        ("Based on the image, a dog sleeps.", ""),
    ],
)
def test_leaks(answer: str, verdict: str) -> None:
    assert judged("leaks", answer) == verdict


def test_a_question_may_ask_for_a_caption_but_not_for_coordinates() -> None:
    assert judged("leaks", "A dog.", "Give a short caption for the image.") == ""
    assert judged("leaks", "A dog.", "What is at [0.1, 0.2, 0.3, 0.4]?") == "fail"


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("Who owns the dog?", "That cannot be determined from the image.", "fail"),
        ("Who owns the dog?", "It is not mentioned. The man may own it.", "warn"),
        ("Who owns the dog?", "The image does not provide that information.", "fail"),
        ("What does the fence do?", "The fence does not provide shade.", ""),
        ("What is a bus used for?", "To carry people.", "warn"),
        ("What color is the red car?", "Red.", "warn"),
        ("The dog sleeps, doesn't it?", "Yes.", "warn"),
        ("Is the dog or the cat asleep?", "The dog.", ""),
        ("What is the dog doing?", "It sleeps.", ""),
        ("Describe the image.", "A dog.", ""),
        ("How many dogs are there?", "Two.", ""),
    ],
)
def test_questions(question: str, answer: str, verdict: str) -> None:
    assert judged("questions", answer, question) == verdict


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("What is it?", "", "fail"),
        ("", "A dog.", "fail"),
        ("What is it?", "A dog.\n===\nQuestion:\nWhat else?", "fail"),
        ("What is it?", "Assistant: a dog.", "fail"),
        ("What is it?", "A dog\x00.", "fail"),
        ("What is it?", "The dog sleeps here now. " * 3, "fail"),
        ("What is it?", "A dog sleeps. It lies on the", "warn"),
        ("What is it?", "A dog, a cat and", "warn"),
        ("What is the dog doing", "It sleeps.", "warn"),
        ("Describe the image.", "a dog on a large red couch in a room", ""),
        ("Where is it?", "It sleeps on the couch (its own).", ""),
    ],
)
def test_form(question: str, answer: str, verdict: str) -> None:
    assert judged("form", answer, question) == verdict


def test_repeated_turns() -> None:
    dog, cat = Turn("Where is the dog?", "Here."), Turn("Where is the cat?", "Here.")
    assert worst(form(SCENE, [dog, cat])) == ""
    assert worst(form(SCENE, [dog, Turn("where is the dog", "There.")])) == "fail"
    long = "It lies on the couch near the door."
    assert worst(form(SCENE, [Turn("Where is it?", long), Turn("And now?", long)])) == "fail"


def test_quoted_writing_is_looked_up_where_the_image_was_read() -> None:
    scene = replace(SCENE, texts=(Text("ocr", "STOP"),))
    assert judged("regions", 'The sign says "Stop".', scene=scene) == "pass"
    assert judged("regions", 'The sign says "Yield".', scene=scene) == "warn"
    assert judged("regions", 'The sign says "Yield".') == ""
    assert judged("regions", "The dog's bowl says nothing.", scene=scene) == ""
