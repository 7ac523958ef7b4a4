"""JSON and JSON lines as data sets ship them: a bad record is a `Flaw`, a bad file a UserError."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from llava_jax.errors import UserError
from llava_jax.problems import Problems

T = TypeVar("T")
_NAMES = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true/false"}


class Flaw(ValueError):
    """Why one record cannot be used; its words are the kind under which `Problems` counts it."""


def read_json(path: Path, what: str, problems: Problems | None = None, without: str = "") -> Any:
    """The file's content. what: names the file in errors, as "COCO's instances_*.json".

    problems: where keys that an object repeats are noted; their first value counts then, while
      `json` would silently keep the last. For files whose keys are ids.
    without: a key whose values are dropped as they are read (COCO's files are mostly polygons).
    Raises UserError where there is no such file or it is not JSON as a whole.
    """

    def first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content and problems is not None:
                problems.note("id given twice", f"{path.name}: {key}")
            content.setdefault(key, value)
        return content

    def lighter(record: dict[str, Any]) -> dict[str, Any]:
        record.pop(without, None)
        return record

    text = _read_text(path, what)
    try:
        return json.loads(
            text,
            object_hook=lighter if without else None,
            object_pairs_hook=first_values if problems is not None else None,
        )
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


def get_id(record: Any, key: str) -> str:
    """record[key] as text: the same id is a number in one file and text in the next."""
    value = get(record, key, object)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Flaw(f"{key} that is neither a number nor text")
    return str(value)


def get_text(record: Any, key: str) -> str:
    """record[key] as one line of text without outer space; Flaw where nothing is left."""
    return one_line(get(record, key, object), key)


def one_line(value: Any, name: str) -> str:
    """The text without outer space and line breaks; Flaw, with that name, where nothing is left."""
    if not isinstance(value, str):
        raise Flaw(f"{name} that is not text")
    text = " ".join(value.split())
    if not text:
        raise Flaw(f"empty {name}")
    return text


def get_file_name(record: Any, key: str) -> str:
    """record[key] as the name of a file below the images' folder; else Flaw."""
    name = get(record, key, str)
    if not name.strip() or name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise Flaw(f"{key} that names no file below a folder")
    return name


def get_side(record: Any, key: str) -> int:
    """record[key] as a width or height in pixels; else Flaw."""
    side = get(record, key, int)
    if side < 1:
        raise Flaw(f"{key} below one pixel")
    return side


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
