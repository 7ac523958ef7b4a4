"""JSON and JSON lines as data sets ship them: a bad record is a `Flaw`, a bad file a UserError."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from llava_jax.errors import UserError
from llava_jax.instruct.importers.problems import Problems

T = TypeVar("T")
_NAMES = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true/false"}


class Flaw(ValueError):
    """Why one record cannot be used; its words are the kind under which `Problems` counts it."""


def read_json(path: Path, what: str) -> Any:
    """The file's content. what: names the file in errors, as "COCO's instances_*.json".

    Raises UserError where there is no such file or it is not JSON as a whole.
    """
    text = _read_text(path, what)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, what, error) from error


def read_json_items(path: Path, what: str) -> Iterator[Any]:
    """The items of the list that the file holds, each decoded only when it is its turn.

    For files of hundreds of megabytes, whose items take several times their text. Errors as of
    `read_json`, also while items are taken.
    """
    text = _read_text(path, what).strip()
    if not text.startswith("["):
        raise UserError(f"{path} does not hold a list; give {what}")
    decode, at, separator = json.JSONDecoder().raw_decode, 1, ","
    try:
        while separator == ",":
            at = _skip_space(text, at)
            if text[at : at + 1] == "]":  # of an empty list
                return
            item, at = decode(text, at)
            yield item
            at = _skip_space(text, at)
            separator, at = text[at : at + 1], at + 1
    except (ValueError, RecursionError) as error:
        raise _broken(path, what, error) from error
    if separator != "]":
        raise _broken(path, what, ValueError(f"the list does not end after character {at - 1}"))


def read_json_lines(path: Path, what: str, problems: Problems) -> Iterator[tuple[str, Any]]:
    """(where, value) of each line that is JSON; `where` is "FILE line N", for `Problems.note`.

    Empty lines are skipped, broken ones noted. Raises UserError where there is no such file or
    no line of it is JSON.
    """
    read = broken = 0
    # Not splitlines(): it also ends a line at characters that JSON allows within text.
    for number, line in enumerate(_read_text(path, what).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            broken += 1
            problems.note("line that is not JSON", where)
            continue
        read += 1
        yield where, value
    if broken and not read:
        raise UserError(f"{path} has no line of JSON; give {what}")


def get(record: Any, key: str, kind: type[T]) -> T:
    """record[key], which must be of that kind (str, list, dict, int, bool); else Flaw."""
    if not isinstance(record, dict):
        raise Flaw("record that is not an object")
    if key not in record:
        raise Flaw(f"missing {key}")
    value = record[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Flaw(f"{key} that is not {_NAMES[kind]}")
    return value


def get_text(record: Any, key: str) -> str:
    """record[key] as one line of text without outer space; Flaw where nothing is left."""
    text = " ".join(get(record, key, str).split())
    if not text:
        raise Flaw(f"empty {key}")
    return text


def get_number(record: Any, key: str) -> float:
    """record[key], which must be a finite number; else Flaw."""
    return finite(get(record, key, object), key)


def finite(value: Any, name: str) -> float:
    """The value as a float; Flaw, with that name, where it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Flaw(f"{name} that is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Flaw(f"{name} that is not finite")
    return number


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}; give {what}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give {what}") from error
    except UnicodeDecodeError as error:
        raise _broken(path, what, error) from error


def _broken(path: Path, what: str, error: Exception) -> UserError:
    return UserError(f"{path} is not valid JSON ({error}); download {what} again")


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at
