import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.remote import store as store_module
from llava_jax.remote.answer import Answer
from llava_jax.remote.store import AnswerStore

ANSWERS = [
    Answer("a", "Été\n☃", "stop", 3, 2, 0.5, "m-1"),
    Answer("b", "Cut", "length", 3, 2, 0.25),
    Answer("c", "", "content_filter"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "answers.jsonl"
    with AnswerStore(path) as store:
        store.append(ANSWERS[:1])
        store.append(ANSWERS[1:])
    return path


def test_answers_come_back_with_their_problems(path: Path) -> None:
    with AnswerStore(path) as store:
        assert len(store) == 3 and store.usd == 0.75
        a, b, c = (store.get(key) for key in "abc")
        assert store.get("d") is None and "d" not in store
    assert a == Answer("a", "Été\n☃", "stop", 3, 2, 0.5, "m-1", kept=True)
    assert b and b.problem == "length: cut off after 2 tokens"
    assert c and c.problem.startswith("filtered: ")


def test_lines_are_plain_json(path: Path) -> None:
    first = json.loads(path.read_text().splitlines()[0])
    assert first == {
        "key": "a", "text": "Été\n☃", "finish_reason": "stop", "prompt_tokens": 3,
        "answer_tokens": 2, "usd": 0.5, "model": "m-1",
    }  # fmt: skip


def test_a_torn_line_is_cut_off_wherever_it_tore(path: Path) -> None:
    whole = path.read_bytes()
    begin = whole[:-1].rfind(b"\n") + 1
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        with AnswerStore(path) as store:
            complete = end == len(whole) - 1  # only its newline is missing
            assert [key for key in "abc" if key in store] == list("abc" if complete else "ab")
            store.append([Answer("d", "More")])
        with AnswerStore(path) as store:
            answer = store.get("d")
            assert answer and answer.text == "More" and len(store) == 3 + complete


def test_zeros_after_a_power_cut_are_cut_off(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(4096))
    with AnswerStore(path) as store:
        assert len(store) == 3


@pytest.mark.parametrize("line", [b"no answer\n", b'{"id": 1}\n', b"[]\n", b"7\n"])
def test_other_lines_are_named(path: Path, line: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line, *lines[1:]]))
    with pytest.raises(UserError, match=r"line 2 of .* is no answer: remove that line"):
        AnswerStore(path)
    path.write_bytes(b"".join(lines))
    with AnswerStore(path) as store:  # the failed one has given up the lock
        assert len(store) == 3


def test_one_writer(path: Path) -> None:
    with AnswerStore(path), pytest.raises(UserError, match="another process"):
        AnswerStore(path)
    with AnswerStore(path):
        pass


def test_answers_are_on_the_disk_when_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(store_module.os, "fsync", lambda file: synced.append(path.read_bytes()))
    with AnswerStore(path) as store:
        store.append([Answer("d", "More"), Answer("e", "And more")])
    assert len(synced) == 1 and synced[0].endswith(b"\n") and b"And more" in synced[0]


def test_a_full_disk_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with AnswerStore(path) as store:
        monkeypatch.setattr(store_module.os, "write", full)
        with pytest.raises(UserError, match=r"No space left.*make room"):
            store.append([Answer("d")])
        assert "d" not in store
