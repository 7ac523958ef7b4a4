"""Answer files in LLaVA's format: one JSON object a line, joined to questions by their ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.problems import Problems


def read_answers(path: Path, questions: Sequence[Question], problems: Problems) -> dict[str, str]:
    """The answers ("text") by question id ("question_id").

    Noted in problems: lines that are no answers, answers to other questions, second answers (the
    first one stands) and questions without an answer (which get "").
    Raises UserError where the file is missing, or answers none of the questions.
    """
    wanted = {question.id for question in questions}
    answers: dict[str, str] = {}
    for number, row in read_lines(path, problems):
        where = f"{path.name} line {number}"
        if not isinstance(row.get("text"), str) or "question_id" not in row:
            problems.note("line without question_id and text", where)
            continue
        id = str(row["question_id"])
        if id not in wanted:
            problems.note("answer to another question", f"{where}: {id}")
        elif id in answers:
            problems.note("second answer to a question", f"{where}: {id}")
        else:
            answers[id] = row["text"]
    return complete(answers, questions, path, problems)


def complete(
    answers: dict[str, str], questions: Sequence[Question], path: Path, problems: Problems
) -> dict[str, str]:
    """The answers with "" for questions that have none, each noted; UserError where all are."""
    if not answers:
        raise UserError(
            f"{path} answers none of the {len(questions)} questions: is it of another benchmark?"
        )
    for question in questions:
        if question.id not in answers:
            problems.note("question without an answer (counts as wrong)", question.id)
            answers[question.id] = ""
    return answers


def read_lines(path: Path, problems: Problems) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSONL file; broken lines are noted."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a file of JSON lines") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            problems.note("line that is no JSON object", f"{path.name} line {number}")
    return rows
