"""The text of an answer: stop strings, spaces and half characters, however the tokens come."""

import random

import pytest

from llava_jax.inference.answers import AnswerText
from tests.inference.tiny import tokenizer

TOKENIZER = tokenizer()


def pieces(text: str, stops: tuple[str, ...], sizes: list[int]) -> tuple[list[str], AnswerText]:
    """What is given out when the text's tokens (bytes) arrive in groups of these sizes."""
    answer, tokens, given = AnswerText(TOKENIZER, stops), TOKENIZER.encode(text), []
    for size in sizes:
        given.append(answer.push(tokens[:size]))
        tokens = tokens[size:]
    given.append(answer.push(tokens))
    given.append(answer.finish())
    return given, answer


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("a red bus", (), "a red bus"),
        ("  a red bus \n", (), "a red bus"),
        ("a red bus###Human: and", ("###",), "a red bus"),
        ("a red bus ## and # more", ("###",), "a red bus ## and # more"),
        ("a red bus##", ("###",), "a red bus##"),
        ("one\n###two", ("###",), "one"),
        ("abcabd!", ("abd", "b"), "a"),
        ("aab", ("ab",), "a"),
        ("\n\nlate", ("\n",), ""),
        ("stop", ("stop",), ""),
        ("ein Käfer 🐞 fährt", ("🐟",), "ein Käfer 🐞 fährt"),
        ("ein Käfer 🐟 fährt", ("🐟",), "ein Käfer"),
        ("", ("x",), ""),
    ],
)
def test_text_ends_before_the_first_stop_string(text: str, stops: tuple, expected: str):
    rng = random.Random(0)
    for _ in range(20):
        sizes = [rng.randint(1, 5) for _ in range(rng.randint(0, 12))]
        given, answer = pieces(text, stops, sizes)
        assert answer.text == expected
        assert "".join(given) == expected
        assert answer.stopped == any(stop in text for stop in stops)


def test_only_what_may_become_a_stop_string_is_held_back():
    given, _ = pieces("ab##c #", ("###",), [1] * 7)
    assert given == ["a", "b", "", "", "##c", "", "", "", " #"]


def test_special_tokens_are_no_text():
    answer = AnswerText(TOKENIZER, ())
    ids = TOKENIZER.encode("yes<|im_end|>")
    assert len(ids) == 4
    assert answer.push(ids) + answer.finish() == "yes"


def test_an_unfinished_character_comes_at_the_end():
    answer = AnswerText(TOKENIZER, ())
    assert answer.push(TOKENIZER.encode("é")[:1]) == ""
    assert answer.finish() == "\N{REPLACEMENT CHARACTER}"
