"""What data sets' files can be, and what each of it becomes."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.reading import (
    Flaw,
    get,
    get_file_name,
    get_id,
    get_number,
    get_text,
    read_json,
    read_json_items,
    read_json_lines,
)
from llava_jax.problems import Problems


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content", ["", "{broken", b"\xff\xfe", "[" * 200_000, "1" * 5000, "<html>busy</html>"]
)
def test_what_is_not_json_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=r"file\.json is not valid JSON .* download the file again"):
        read_json(path, "the file")
    with pytest.raises(UserError, match=r"file\.json"):
        list(read_json_items(path, "the file"))


def test_values_can_be_dropped_and_keys_are_not_repeated_silently(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": {"b": 1, "c": [2]}, "c": 3, "a": 4}')
    assert read_json(path, "the file") == {"a": 4, "c": 3}
    assert read_json(path, "the file", without="c") == {"a": 4}
    problems = Problems()
    assert read_json(path, "the file", problems) == {"a": {"b": 1, "c": [2]}, "c": 3}
    assert problems.lines() == ["1 x id given twice (file.json: a)"]


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for reader in (read_json, lambda *a: list(read_json_items(*a))):
        with pytest.raises(UserError, match=r"there is no .*none; give the file"):
            reader(tmp_path / "none", "the file")
        with pytest.raises(UserError, match="cannot be read"):
            reader(tmp_path, "the file")


@pytest.mark.parametrize("items", [[], [1], [{"a": [1, "]"]}, [], "x", None, 2.5]])
@pytest.mark.parametrize("indent", [None, 2])
def test_items_come_one_by_one(tmp_path: Path, items: list, indent: int | None) -> None:
    path = write(tmp_path, "\n" + json.dumps(items, indent=indent) + " \n")
    assert list(read_json_items(path, "the file")) == items


@pytest.mark.parametrize("content", ['[{"a": 1}', '[{"a": 1} {"a": 2}]', '[{"a": 1}, {"a"'])
def test_a_list_cut_short_is_refused_after_its_whole_items(tmp_path: Path, content: str) -> None:
    items = read_json_items(write(tmp_path, content), "the file")
    assert next(items) == {"a": 1}
    with pytest.raises(UserError, match="is not valid JSON"):
        list(items)


def test_an_object_is_not_a_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not hold a list; give the file"):
        next(read_json_items(write(tmp_path, "{}"), "the file"))


def test_broken_lines_are_set_aside(tmp_path: Path) -> None:
    problems = Problems()
    path = write(tmp_path, '\ufeff{"a": 1}\n\n{"a":\n["\u2028"]\r\n')
    lines = list(read_json_lines(path, "the file", problems))
    assert lines == [("file.json line 1", {"a": 1}), ("file.json line 4", ["\u2028"])]
    assert problems.lines() == ["1 x line that is not JSON (file.json line 3)"]
    with pytest.raises(UserError, match="has no line of JSON; give the file"):
        list(read_json_lines(write(tmp_path, "<html>\n</html>"), "the file", problems))


@pytest.mark.parametrize(
    ("read", "flaw"),
    [
        (lambda: get([], "a", str), "record that is not an object"),
        (lambda: get({}, "a", str), "missing a"),
        (lambda: get({"a": 1}, "a", str), "a that is not text"),
        (lambda: get({"a": True}, "a", int), "a that is not a whole number"),
        (lambda: get_id({"a": 1.0}, "a"), "a that is neither a number nor text"),
        (lambda: get_file_name({"a": "/b"}, "a"), "a that names no file below a folder"),
        (lambda: get_text({"a": " \n"}, "a"), "empty a"),
        (lambda: get_number({"a": "1"}, "a"), "a that is not a number"),
        (lambda: get_number({"a": float("nan")}, "a"), "a that is not finite"),
        (lambda: get_number({"a": 10**400}, "a"), "a that is not finite"),
    ],
)
def test_flaws_say_what_is_wrong(read, flaw: str) -> None:
    with pytest.raises(Flaw, match=f"^{flaw}$"):
        read()


def test_good_values_pass() -> None:
    assert get_id({"a": 3}, "a") == get_id({"a": "3"}, "a") == "3"
    assert get_file_name({"a": "b/c  d.jpg"}, "a") == "b/c  d.jpg"
    assert get({"a": 3}, "a", int) == 3
    assert get_text({"a": " two \n words "}, "a") == "two words"
    assert get_number({"a": 3}, "a") == 3.0
