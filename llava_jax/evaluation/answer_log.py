"""A model's answers on disk, in LLaVA's format, while they are being given and after."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.run_folder import write_whole

Row = dict[str, Any]


class AnswerLog:
    """An append-only file of answers that one process writes. A context manager.

    A last line that a crash tore is cut off. Raises UserError if another process writes the file.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file = path, path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(
                f"another process is writing answers to {path}: wait until it has ended, or name "
                "another --out"
            ) from None
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def __enter__(self) -> "AnswerLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # which gives up the lock

    def append(self, rows: Iterable[Row]) -> None:
        """When it returns they are on the disk. Raises UserError if they cannot be written."""
        unwritten = b"".join(map(_line, rows))
        try:
            while unwritten:
                unwritten = unwritten[os.write(self._file.fileno(), unwritten) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(
                f"cannot write answers to {self._path} ({error.strerror}): make room there, then "
                "run the same command again"
            ) from error


def new_row(question: Question, text: str, model: str, metadata: Row) -> Row:
    """An answer as LLaVA's scripts write it."""
    return {
        "question_id": question.id,
        "prompt": question.prompt,
        "text": text,
        "answer_id": uuid.uuid4().hex,
        "model_id": model,
        "metadata": metadata,
    }


def part_of(path: Path, process: int) -> Path:
    """The file that one process of a run writes, until all is merged into `path`."""
    return path.with_suffix(f".part{process}.jsonl")


def read_log(path: Path) -> dict[str, Row]:
    """The rows at `path` and in its parts by question id; torn lines are no rows."""
    rows = (row for file in (path, *_parts(path)) for row in _rows(file))
    return {row["question_id"]: row for row in rows}


def merge_parts(path: Path, questions: Sequence[Question]) -> None:
    """One file in the order of the questions instead of parts; what else it held comes after."""
    rows = read_log(path)
    wanted = [rows.pop(question.id) for question in questions if question.id in rows]
    write_whole(path, b"".join(map(_line, [*wanted, *rows.values()])))
    for part in _parts(path):
        part.unlink()


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}.part*.jsonl"))


def _rows(path: Path) -> Iterator[Row]:
    if not path.exists():
        return
    whole = path.read_bytes().rpartition(b"\n")[0]
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            row["question_id"], row["text"], row["model_id"]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"line {number} of {path} is no answer: remove that line (its question is then "
                "asked again), or name another --out"
            ) from error
        yield row


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n"
