"""Votes for answers, in a file that outlives the server.

One JSON object a line, in the order of the votes; evaluation reads it as people's ratings:

    {"time": "2026-01-31T12:00:00+00:00",   UTC
     "request": "7c...",                    id of the answer; a later vote for it replaces this one
     "conversation": "5e...",               id that the answers of one conversation share
     "model": "pocket",
     "question": "Where?", "answer": "On the left.",
     "images": ["ba78..."],                 SHA-256 of each image file shown so far, in order
     "vote": "up",                          or "down"
     "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 7}}
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from llava_jax.errors import UserError


@dataclass(frozen=True)
class Vote:
    """A line of the file, but for its time."""

    request: str
    conversation: str
    model: str
    question: str
    answer: str
    images: Sequence[str]
    vote: Literal["up", "down"]
    sampling: dict[str, Any]


class Votes:
    """Appends to a file of votes; several threads may."""

    def __init__(self, path: Path):
        """Raises UserError for a file that cannot be written."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append(b"")
        except OSError as error:
            raise UserError(
                f"cannot write votes to {path} ({error}): choose another file"
            ) from None

    def add(self, vote: Vote) -> None:
        """Has the vote on the disk when it returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"time": now} | asdict(vote), ensure_ascii=False) + "\n"
        self._append(line.encode("utf-8", "backslashreplace"))

    def _append(self, line: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:  # one write, so no two lines mix
            file.write(line)
            os.fsync(file.fileno())
