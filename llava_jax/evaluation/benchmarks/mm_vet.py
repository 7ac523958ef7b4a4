"""MM-Vet: open answers about images that a language model grades (Yu et al., 2023, 2308.02490)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import Recorded, joined, read_answers, read_json
from llava_jax.evaluation.asking import Ask
from llava_jax.evaluation.benchmarks.benchmark import (
    File,
    Mark,
    Mode,
    Question,
    Score,
    layout,
    required,
)
from llava_jax.evaluation.statistics import Tally, tally
from llava_jax.problems import Problems
from llava_jax.remote.answer import Answer
from llava_jax.remote.prompt import Message, Prompt, Sampling

_RULE = """\
Grade how right a prediction is by the reference answer to a question about an image that you do
not see. The grade is a number from 0.0 (wrong) to 1.0 (right) in steps of 0.1. Where the reference
joins parts by <AND>, each part is worth its share; where it joins them by <OR>, one part is enough.
Reply with the number alone.

Question: {question}
Reference: {reference}
Prediction: {prediction}
Grade:"""


class MmVet:
    """The mean grade, by capability (rec ocr know gen spat math) and by sets of capabilities.

    What is scored are grades: of `grade`, or of the official evaluator's MODEL-grade-Nruns.json,
    whose figures are the means over its runs. (Its csv tables hold the means only.)
    """

    name = "mm_vet"
    files = (File("mm-vet.json", "mm-vet.zip at github.com/yuweihao/MM-Vet, releases"),)

    def load(self, data: Path) -> list[Question]:
        (file,) = required(data, self.files)
        with layout(file):
            return [_question(id, row, data) for id, row in read_json(file).items()]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """LLaVA's answers, the answers as they are submitted, or the official evaluator's grades.

        LLaVA numbers the questions; their ids are v1_NUMBER.
        """
        if path.suffix != ".json":
            return read_answers(path, questions, problems, lambda id, row: f"v1_{id}")
        with layout(path):
            found = {
                id: stored
                if isinstance(stored, str)
                else Recorded("\n".join(stored["content"]), [float(g) for g in stored["score"]])
                for id, stored in read_json(path).items()
            }
        return joined(found, questions, path, problems)

    def grade(
        self, questions: Sequence[Question], answers: Mapping[str, str], ask: Ask
    ) -> dict[str, str]:
        """A judge's grades; one that cannot be read is asked for once more."""
        prompts = {question.id: _prompt(question, answers[question.id]) for question in questions}
        replies = dict(zip(prompts, ask(list(prompts.values())), strict=True))
        again = [id for id, reply in replies.items() if _grade(reply.text) is None]
        second = [_prompt(q, answers[q.id], repeat=1) for q in questions if q.id in set(again)]
        if second:
            replies |= dict(zip(again, ask(second), strict=True))
        return {id: _recorded(reply) for id, reply in replies.items()}

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """paper: the recorded grades, where what the evaluator could not read is 0. strict: the
        judge's own words, where what cannot be read is left out and counted.
        """
        if not any(isinstance(answer, Recorded) for answer in answers.values()):
            raise UserError("MM-Vet is scored by grades: give a judge, or a file of its grades")
        marks = []
        for question in questions:
            grades = _grades(answers[question.id], mode)
            mean = sum(grades) / len(grades) if grades else 0.0
            marks.append(Mark(question.id, f"{mean:.2f}" if grades else "", mean))
        groups = list(dict.fromkeys(group for question in questions for group in question.groups))
        return Score(
            "grade",
            _mean(questions, marks, mode),
            {group: _mean(questions, marks, mode, group) for group in groups},
            tuple(marks),
            {},
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """What the official evaluator grades."""
        if any(isinstance(answer, Recorded) for answer in answers.values()):
            return {}  # these are grades
        said = {question.id: answers[question.id] for question in questions}
        return {"mm_vet.json": json.dumps(said, indent=2).encode()}


def _mean(
    questions: Sequence[Question], marks: Sequence[Mark], mode: Mode, group: str | None = None
) -> Tally:
    here = [group is None or group in question.groups for question in questions]
    counted = [
        float(inside and (mode == "paper" or bool(mark.read)))
        for inside, mark in zip(here, marks, strict=True)
    ]
    graded = [weight * mark.right for weight, mark in zip(counted, marks, strict=True)]
    return tally([question.cluster for question in questions], graded, counted)


def _grades(answer: str, mode: Mode) -> list[float]:
    if mode == "paper":
        return answer.taken if isinstance(answer, Recorded) else []
    read = [_grade(line) for line in answer.split("\n")]
    return [grade for grade in read if grade is not None]


def _grade(reply: str) -> float | None:
    """The first word, if it is a number from 0 to 1."""
    try:
        grade = float(reply.split()[0])
    except (IndexError, ValueError):
        return None
    return grade if 0 <= grade <= 1 else None


def _recorded(reply: Answer) -> Recorded:
    return Recorded(" ".join(reply.text.split()), [_grade(reply.text) or 0.0])


def _prompt(question: Question, answer: str, repeat: int = 0) -> Prompt:
    reference = question.truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    words = _RULE.format(question=question.prompt, reference=reference, prediction=answer)
    return Prompt((Message("user", words),), Sampling(max_tokens=8, temperature=0.0), repeat)


def _question(id: str, row: dict[str, Any], data: Path) -> Question:
    capabilities = sorted(row["capability"])
    together = "+".join(capabilities) if len(capabilities) > 1 else f"{capabilities[0]} alone"
    return Question(
        id=id,
        prompt=row["question"],
        images=(data / "images" / row["imagename"],),
        truth=row["answer"],
        cluster=row["imagename"],
        groups=(*capabilities, together),
    )
