"""The text of an answer: stop strings, spaces and half characters."""

import pytest

from llava_jax.inference.answers import AnswerText
from tests.inference.tiny import tokenizer

TOKENIZER = tokenizer()


def pieces(text: str, *stops: str) -> tuple[list[str], AnswerText]:
    """What is given out at each of the text's tokens (bytes), and at the end."""
    answer = AnswerText(TOKENIZER, stops)
    given = [answer.push(token) for token in TOKENIZER.encode(text)]
    return [*given, answer.finish()], answer


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
    given, answer = pieces(text, *stops)
    assert answer.text == "".join(given) == expected
    assert answer.stopped == any(stop in text for stop in stops)


def test_only_what_may_become_a_stop_string_is_held_back():
    given, _ = pieces("ab##c #", "###")
    assert given == ["a", "b", "", "", "##c", "", "", " #"]


def test_special_tokens_are_no_text():
    given, _ = pieces("yes<|im_end|>")
    assert given == ["y", "e", "s", "", ""]


def test_an_unfinished_character_comes_at_the_end():
    answer = AnswerText(TOKENIZER, ())
    assert answer.push(TOKENIZER.encode("é")[0]) == ""
    assert answer.finish() == "\N{REPLACEMENT CHARACTER}"
