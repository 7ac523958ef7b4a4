"""A teacher's raw text: the released ones, what weak models write, and anything at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_jax.instruct.teacher.responses import read
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS
from llava_jax.instruct.turns import RESPONSES, Request
from tests.instruct.drawn import scene_of

CONVERSATION = Request(scene_of(("dog", 0.2, 0.2)), "conversation")
DETAIL = Request(scene_of(("dog", 0.2, 0.2)), "detail")
COMPLEX = Request(scene_of(("dog", 0.2, 0.2)), "complex")
RELEASED = {
    "conversation": ("conversation", (4, 4)),
    "detail_description": ("detail", (1, 1, 1)),
    "complex_reasoning": ("complex", (1, 1, 1)),
}


def test_the_released_responses_parse(shared_data: Path) -> None:
    for folder, (kind, counts) in RELEASED.items():
        for number, count in enumerate(counts):
            path = shared_data / "datagen_prompts" / folder / f"{number:03d}_conv.txt"
            text = path.read_text(encoding="utf-8")
            reading = read(Request(CONVERSATION.scene, kind), text)
            assert (len(reading.turns), reading.problem) == (count, ""), path
            # Nothing but the format is lost: what is left is the text, mark by mark.
            marks = ("Question:", "Answer:", "===")
            words = [word for word in text.split() if word not in marks]
            spoken = [
                t.answer if kind == "detail" else f"{t.question} {t.answer}" for t in reading.turns
            ]
            assert " ".join(spoken).split() == words, path


def test_a_description_answers_a_question_drawn_by_the_seed() -> None:
    questions = {
        read(Request(DETAIL.scene, "detail", seed), "A dog.").turns[0].question
        for seed in range(30)
    }
    assert len(questions) > 5
    assert questions <= set(DETAIL_QUESTIONS["image"])


def test_only_the_first_pair_of_a_reasoning_is_kept() -> None:
    text = "Question: Why?\nAnswer: Because.\nQuestion: How?\nAnswer: So."
    assert [turn.answer for turn in read(COMPLEX, text).turns] == ["Because."]


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is a description of the image:\n\nA dog.\n\nIt sleeps.",
        "**Description:**\nA dog.\n\nIt sleeps.",
        "Answer:\nA dog.\n\nIt sleeps.\n===",
        "```\nA dog.\r\n\r\nIt sleeps.\n```",
        "Question:\nWhat is there?\n===\nAnswer:\nA dog.\n\nIt sleeps.",
    ],
)
def test_a_description_in_wrapping(text: str) -> None:
    assert read(DETAIL, text).turns[0].answer == "A dog.\n\nIt sleeps."


@pytest.mark.parametrize(
    ("request_", "text", "cut_off", "problem"),
    [
        (CONVERSATION, " \n", False, "the text is empty"),
        (CONVERSATION, "The dog is brown.", False, "begins 'The dog is brown.'"),
        (CONVERSATION, "Question:\nWhat is it?", False, "no question with its answer"),
        (CONVERSATION, "Answer:\nA dog.", False, "no question with its answer"),
        (CONVERSATION, "Question:\nWhat?\n===\nAnswer:\nA d", True, "cut off"),
        (CONVERSATION, "I'm sorry, I can't help with that.", False, "declines"),
        (DETAIL, "The image shows a", True, "cut off"),
        (DETAIL, "As an AI language model, I", False, "declines"),
        (DETAIL, "Question: A?\nAnswer: B.\nQuestion: C?\nAnswer: D.", False, "a conversation"),
        (DETAIL, "Answer:\n===", False, "no description"),
    ],
)
def test_what_cannot_be_read_is_named(
    request_: Request, text: str, cut_off: bool, problem: str
) -> None:
    reading = read(request_, text, cut_off)
    assert reading.turns == ()
    assert reading.problem.startswith("unreadable: ")
    assert problem in reading.problem


@given(st.text(), st.sampled_from(RESPONSES["image"]), st.booleans())
def test_any_text_gives_turns_or_a_problem(text: str, kind: str, cut_off: bool) -> None:
    reading = read(Request(CONVERSATION.scene, kind), text, cut_off)
    assert bool(reading.turns) != bool(reading.problem)
