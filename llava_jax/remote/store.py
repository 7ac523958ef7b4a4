"""The answers that were paid, on disk: asked again, they cost nothing."""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from io import FileIO
from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.remote.answer import Answer

_NOT_KEPT = {"problem", "kept"}  # read off the rest


class AnswerStore:
    """An append-only file of JSON lines, an answer each; only where they lie is held in memory.

    One process writes it at a time. A last line that a crash tore is finished or cut off. Use it as
    a context manager. usd: what its answers cost.

    Raises UserError if another process has it open, or a line is no answer.
    """

    def __init__(self, path: Path):
        self.path = path
        self.usd = 0.0
        self._places: dict[str, tuple[int, int]] = {}  # offset and length of the line
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _alone(path)
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # which gives up the lock

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Answer | None:
        """The answer of this key, with its problem if it has one."""
        if key not in self._places:
            return None
        offset, length = self._places[key]
        answer = Answer(**json.loads(os.pread(self._file.fileno(), length, offset)))
        return replace(answer.judged(), kept=True)

    def append(self, answers: Iterable[Answer]) -> None:
        """Adds answers; when it returns they are on the disk.

        Raises UserError if they cannot be written.
        """
        lines = [(answer, _line(answer)) for answer in answers]
        try:
            offset = self._file.seek(0, os.SEEK_END)
            unwritten = b"".join(line for _, line in lines)
            while unwritten:
                unwritten = unwritten[os.write(self._file.fileno(), unwritten) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(
                f"cannot write answers to {self.path} ({error.strerror}): make room there, then "
                "run the same command again"
            ) from error
        for answer, line in lines:
            self._note(answer.key, answer.usd, offset, len(line))
            offset += len(line)

    def _read(self) -> None:
        offset, whole = 0, True
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                whole = line.endswith(b"\n")
                try:
                    answer = Answer(**json.loads(line))
                except (ValueError, TypeError) as error:
                    if whole:
                        raise UserError(
                            f"line {number} of {self.path} is no answer: remove that line (its "
                            "prompt is then asked again), or give another file"
                        ) from error
                    self._file.truncate(offset)
                    return
                self._note(answer.key, answer.usd, offset, len(line))
                offset += len(line)
        if not whole:
            self._file.write(b"\n")

    def _note(self, key: str, usd: float, offset: int, length: int) -> None:
        self._places[key] = offset, length
        self.usd += usd


def _alone(path: Path) -> FileIO:
    file = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(
            f"another process is writing answers to {path}: wait until it has ended, or give "
            "another file"
        ) from None
    return file


def _line(answer: Answer) -> bytes:
    kept = {name: value for name, value in asdict(answer).items() if name not in _NOT_KEPT}
    return json.dumps(kept).encode() + b"\n"
