"""Answer files (LLaVA's JSON lines, uploads to servers), joined to questions by their ids."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.problems import Problems

# What LLaVA's answers and the uploads made of them call a question and the answer to it.
_IDS = ("question_id", "questionId", "image")
_TEXTS = ("text", "prediction", "answer")


class Recorded(str):
    """An answer with what the original's own run took it for: a draw at random, a judge's grade.

    The "paper" mode goes by `taken`, the "strict" mode by the words.
    """

    taken: Any

    def __new__(cls, words: str, taken: Any) -> "Recorded":
        recorded = super().__new__(cls, words)
        recorded.taken = taken
        return recorded


def read_answers(
    path: Path,
    questions: Sequence[Question],
    problems: Problems,
    named: Callable[[str, dict[str, Any]], str] = lambda id, row: id,
) -> dict[str, str]:
    """The answers by question id: rows of JSON lines, or of one list in a file *.json.

    named: our id of a row's question, given the row's id and the row; it is asked only about ids
    that are none of ours.
    Noted in problems: rows that are no answers, answers to other questions, second answers (the
    first one stands) and questions without an answer (which get "").
    Raises UserError where the file is missing, or answers none of the questions.
    """
    wanted = {question.id for question in questions}
    answers: dict[str, str] = {}
    for number, row in read_rows(path, problems):
        where = f"{path.name} line {number}"
        id = next((str(row[key]) for key in _IDS if key in row), None)
        text = next((row[key] for key in _TEXTS if isinstance(row.get(key), str)), None)
        if id is None or text is None:
            problems.note("line without question_id and text", where)
            continue
        id = id if id in wanted else named(id, row)
        if id not in wanted:
            problems.note("answer to another question", f"{where}: {id}")
        elif id in answers:
            problems.note("second answer to a question", f"{where}: {id}")
        else:
            answers[id] = text
    return complete(answers, questions, path, problems)


def joined(
    found: dict[str, Any], questions: Sequence[Question], path: Path, problems: Problems
) -> dict[str, str]:
    """Answers that a file holds by id, those to other questions left out and noted."""
    wanted = {question.id for question in questions}
    for id in found.keys() - wanted:
        problems.note("answer to another question", f"{path.name}: {id}")
    answers = {id: text for id, text in found.items() if id in wanted}
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


def read_rows(path: Path, problems: Problems) -> list[tuple[int, dict[str, Any]]]:
    """(number, object) of JSON lines, or of the one list that a file *.json holds."""
    if path.suffix != ".json":
        return read_lines(path, problems)
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds no list of answers: give JSON lines, or a server's upload")
    return list(enumerate(rows, start=1))


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a file of JSON") from error
