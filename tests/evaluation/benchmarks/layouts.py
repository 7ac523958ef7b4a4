"""Tiny files in the layouts of the public ones."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_lines(path: Path, rows: Iterable[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_answers(path: Path, answers: Mapping[Any, str]) -> Path:
    """As LLaVA's scripts write them."""
    return write_lines(path, [{"question_id": id, "text": said} for id, said in answers.items()])
