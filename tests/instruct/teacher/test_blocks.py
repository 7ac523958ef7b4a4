"""Question-answer blocks: what is formatted reads back, and what models write instead is read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_jax.instruct.teacher.blocks import format_turns, read_turns
from llava_jax.instruct.turns import Turn

TWO = (Turn("What is it?", "A dog."), Turn("Where is it?", "On the left."))
# Whatever the format uses for itself cannot be part of a turn.
OWN = re.compile(
    r"={2,}|-{3,}|_{3,}|`{3,}|\*\*|\r|\b(question|answer|q|a)\b[ \t]*\d*[ \t]*[:.)]", re.I
)
WORDS = st.text(min_size=1).map(str.strip).filter(lambda text: text and not OWN.search(text))
PIECES = st.sampled_from(
    [
        "questions",
        "1. An item",
        "Two lines\nof text",
        "so: a colon",
        "- a dash",
        "Why?",
        "\n\n",
        " ",
    ]
)
SAID = st.one_of(WORDS, st.lists(PIECES, min_size=1).map("".join).map(str.strip).filter(bool))
MARKS = st.sampled_from(
    [
        "Question:",
        "Answer:",
        "===",
        "\n",
        "**",
        "Q1.",
        "A:",
        "1.",
        "what?",
        " ",
        "---",
        "A dog.",
        "\r",
    ]
)


@given(st.lists(st.builds(Turn, SAID, SAID), min_size=1, max_size=5).map(tuple))
def test_what_is_formatted_reads_back(turns: tuple[Turn, ...]) -> None:
    assert read_turns(format_turns(turns)) == turns
    assert read_turns(format_turns(turns) + "\n===\n", cut_off=True) == turns
    assert read_turns(format_turns(turns), cut_off=True) == turns[:-1]


@given(st.lists(MARKS).map("".join), st.booleans())
def test_every_turn_is_words_of_the_text(text: str, cut_off: bool) -> None:
    for turn in read_turns(text, cut_off):
        for part in (turn.question, turn.answer):
            assert part.strip()
            assert bare(part) in bare(text)


def bare(text: str) -> str:
    return re.sub(r"[\s*]|={2,}|-{3,}", "", text)


@pytest.mark.parametrize(
    "text",
    [
        "Question: What is it?\nAnswer: A dog.\nQuestion: Where is it?\nAnswer: On the left.",
        "Q: What is it?\nA: A dog.\n\nQ: Where is it?\nA: On the left.",
        "Q1. What is it?\nA1. A dog.\nQ2. Where is it?\nA2. On the left.",
        "**Question 1:** What is it?\n**Answer 1:** A dog.\n\n**Question 2:** Where is it?\n"
        "**Answer 2:** On the left.",
        "**Question: What is it?**\n\nAnswer: A dog.\n\n---\n\n**Question: Where is it?**\n\n"
        "Answer: On the left.",
        "### Question:\n**What is it?**\n### Answer:\nA dog.\n"
        "### Question:\n**Where is it?**\n### Answer:\nOn the left.",
        "1. Question: What is it?\n   Answer: A dog.\n2. Question: Where is it?\n"
        "   Answer: On the left.",
        "1. What is it?\nA dog.\n\n2. Where is it?\nOn the left.",
        "1. **What is it?**\n   Answer: A dog.\n2. **Where is it?**\n   Answer: On the left.",
        "What is it?\nAnswer: A dog.\n\nWhere is it?\nAnswer: On the left.",
        "Question: What is it? Answer: A dog. === Question: Where is it? Answer: On the left.",
        "Question:\r\nWhat is it?\r\n===\r\nAnswer:\r\nA dog.\r\n===\r\nQuestion:\r\nWhere is it?"
        "\r\n===\r\nAnswer:\r\nOn the left.\r\n===\r\n",
        "Question:\nWhat is it?\n===\nA dog.\n===\nQuestion:\nWhere is it?\n===\nOn the left.\n===",
        "Question:\nWhat is it?\nA dog.\nQuestion:\nWhere is it?\nOn the left.",
        "Sure, here is a conversation:\n\nQuestion:\nWhat is it?\n===\nAnswer:\nA dog.\n===\n"
        "Question:\nWhere is it?\n===\nAnswer:\nOn the left.\n===\n\nI hope this helps!",
        "Question:\nWhat is it?\n==\nA dog.\n===\nQuestion:\nWhere is it?\n==\nOn the left.",
        "QUESTION:\nWhat is it?\n=====\nANSWER:\nA dog.\n=====\nquestion:\nWhere is it?\n=====\n"
        "answer:\nOn the left.",
        "Answer:\nYes.\n===\nQuestion:\nWhat is it?\n===\nAnswer:\nA dog.\n===\n"
        "Question:\nWhere is it?\n===\nAnswer:\nOn the left.\n===\nQuestion:\nHow",
    ],
)
def test_what_models_write_instead(text: str) -> None:
    assert read_turns(text.replace("\r\n", "\n")) == TWO


def test_a_cut_off_answer_is_dropped_and_a_cut_off_question_costs_no_answer() -> None:
    text = format_turns(TWO)
    assert read_turns(text, cut_off=True) == TWO[:1]
    assert read_turns(text + "\n===\nQuestion:\nAnd wh", cut_off=True) == TWO
    assert read_turns(text + "\n===\nQuestion:\nAnd what?\nIt i", cut_off=True) == TWO


def test_lists_in_an_answer_stay_there() -> None:
    turn = Turn("How?", "Two ways:\n1. Cook it?\nA: no.\n2. Fry it:\n- hot\n\nDone.")
    assert read_turns(format_turns([turn])) == (turn,)
