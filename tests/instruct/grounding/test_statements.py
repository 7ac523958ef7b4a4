import pytest

from llava_jax.instruct.grounding.statements import restate, statements
from llava_jax.instruct.turns import Turn


@pytest.mark.parametrize(
    ("question", "answer", "statement"),
    [
        ("Is there a dog in the image?", "Yes.", "There is a dog in the image."),
        ("Are there any dogs?", "No, there are not.", "There is no dogs."),
        ("Can you see a dog?", "No.", "There is no dog."),
        ("How many dogs are there?", "Two.", "There are two dogs in the image."),
        ("How many dogs are on the couch?", "Two.", "There are two dogs on the couch."),
        ("What color is the dog?", "Red.", "The dog is red."),
        ("What is to the left of the dog?", "A cat.", "A cat is to the left of the dog."),
        ("What is above the dog?", "A cat.", "A cat is above the dog."),
        (
            "Is the dog to the left or to the right of the cat?",
            "To the left.",
            "The dog is to the left of the cat.",
        ),
        ("Is the dog above or below the cat?", "Below.", "The dog is below the cat."),
        ("Is the dog above the cat?", "Yes, it is.", "The dog is above the cat."),
        ("Why is the dog here?", "It is tired.", ""),
    ],
)
def test_short_answers_are_read_with_their_question(
    question: str, answer: str, statement: str
) -> None:
    assert restate(Turn(question, answer)) == statement


def test_a_restated_answer_stands_at_its_first_sentence() -> None:
    turn = Turn("Is there a dog?", "Yes, there is. It sleeps.")
    restated = next(s for s in statements((turn,)) if s.within is not None)
    span = restated.finding("objects", "pass", 0, 3, "").span
    assert (span.part, turn.answer[span.start : span.end]) == ("answer", "Yes, there is.")
