"""Reading a judge's words: marks for the answer shown first and the one shown second, or None."""

import json
import re
from collections.abc import Iterator
from typing import Any

from llava_jax.evaluation.judge.judgement import Marks

LOWEST, HIGHEST = 0.0, 10.0  # judges that are told 1 to 10 give an empty answer 0
UNREAD: Marks = (-1.0, -1.0)  # what the original makes of a verdict that it cannot read

_NUMBER = r"(\d+(?:\.\d+)?)"
_OUT_OF_TEN = r"(?:\s*/\s*10(?![\d.]))"
_BETWEEN = r"\s*(?:[,;/|&]|\band\b|\s)\s*"  # two numbers
_NAME = (
    r"(?:the\s+)?(?:assistant|answer|response)\s*(?:{})\b\W{{1,4}}(?:(?:score|rating)\W{{1,3}})?"
)
_LABELLED = re.compile(
    rf"{_NAME.format('1|a')}{_NUMBER}{_OUT_OF_TEN}?\W*{_NAME.format('2|b')}{_NUMBER}"
    rf"{_OUT_OF_TEN}?\W*(?=\n|$)",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    rf"(?:(?:final\s+)?(?:scores?|ratings?|marks?)\s*:?\s*)?[(\[]?\s*"
    rf"(?:{_NUMBER}{_BETWEEN}{_NUMBER}|{_NUMBER}{_OUT_OF_TEN}{_BETWEEN}{_NUMBER}{_OUT_OF_TEN})"
    rf"\s*[)\]]?\s*\.?",
    re.IGNORECASE,
)
# JSON that broke off after the scores.
_CUT_OFF = re.compile(rf'"scores"\s*:\s*\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]')
_BETTER = re.compile(
    r"(?:(?:assistant|answer|response)\s*)?(1|2|a|b|tie|even|equal)(?:\s+is\s+better)?\.?",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\[\[\s*(1|2|a|b|c|tie)\s*\]\]", re.IGNORECASE)
_FIRST, _SECOND, _EVEN = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)
_PREFERENCES = {"1": _FIRST, "a": _FIRST, "2": _SECOND, "b": _SECOND} | dict.fromkeys(
    ("tie", "c", "even", "equal"), _EVEN
)


def read_marks(text: str) -> Marks | None:
    """Two marks of 0 to 10: {"scores": [8, 6]} anywhere in the text, else its first line.

    A first line is read as LLaVA's rules want it ("8 6") and as judges write it instead: "8, 6",
    "8/6", "8/10 and 6/10", "**8** **6**", "Scores: (8, 6)", "Assistant 1: 8, Assistant 2: 6" (also
    over two lines), after blank lines or a "<think>" part. Nothing else may stand there, so that
    an apology with two numbers in it is no verdict; nor is "8/10", of one answer or of two.
    Several JSON verdicts that differ are none.
    """
    said = _without_thoughts(text)
    found = (
        {_marks_of(value) for value in _json_values(said, "scores")}
        or {_on_scale(*pair) for pair in _CUT_OFF.findall(said)}
        or {_first_line_marks(said)}
    )
    return found.pop() if len(found) == 1 else None


def read_preference(text: str) -> Marks | None:
    """(1, 0) or (0, 1) for the better answer, (0.5, 0.5) for even ones.

    {"better": 1} (2, "tie") anywhere in the text, else "[[1]]" ("[[A]]", "[[C]]" for even ones),
    else a first line that says no more than "1", "Assistant 2", "Answer A is better" or "tie".
    """
    said = _without_thoughts(text)
    found = (
        {_preference_of(value) for value in _json_values(said, "better")}
        or {_preference_of(word) for word in _BRACKETED.findall(said)}
        or {_first_line_preference(said)}
    )
    return found.pop() if len(found) == 1 else None


def read_as_the_paper(text: str) -> Marks:
    """The original's parser: the first line, cut at every space, is two numbers, or UNREAD.

    Its quirks: "8, 6" holds two spaces once the comma is one, so it is UNREAD, as are trailing
    spaces and leading blank lines; and UNREAD is averaged in like any marks, so that a judge who
    always fails gives a score of exactly 100.
    """
    parts = text.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = map(float, parts)
    except ValueError:
        return UNREAD
    return first, second


def _first_line_marks(said: str) -> Marks | None:
    lines = _plain(said)
    if labelled := _LABELLED.match(lines):
        return _on_scale(*labelled.groups())
    line = lines.partition("\n")[0].strip()
    if re.fullmatch(rf"{_NUMBER}{_OUT_OF_TEN}", line):
        return None
    plain = _PLAIN.fullmatch(line)
    return _on_scale(*(part for part in plain.groups() if part)) if plain else None


def _first_line_preference(said: str) -> Marks | None:
    found = _BETTER.fullmatch(_plain(said).partition("\n")[0].strip())
    return _preference_of(found.group(1)) if found else None


def _without_thoughts(text: str) -> str:
    return text.rpartition("</think>")[2]


def _plain(text: str) -> str:
    """Without markdown's signs and leading blank lines."""
    return re.sub(r"[*_`#>]", " ", text).strip()


def _json_values(text: str, key: str) -> Iterator[Any]:
    """What the JSON objects in a text hold under the key."""
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if key in value:
                yield value[key]
        start = text.find("{", end)


def _marks_of(value: Any) -> Marks | None:
    pair = isinstance(value, list) and len(value) == 2
    if not pair or any(isinstance(mark, bool) for mark in value):
        return None
    try:
        return _on_scale(*value)
    except (TypeError, ValueError, OverflowError):
        return None


def _preference_of(value: Any) -> Marks | None:
    return _PREFERENCES.get(str(value).lower())


def _on_scale(first: str | int | float, second: str | int | float) -> Marks | None:
    marks = float(first), float(second)
    return marks if all(LOWEST <= mark <= HIGHEST for mark in marks) else None
