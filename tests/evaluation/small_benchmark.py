"""A benchmark of yes and no about drawn pictures, whose modes differ on "maybe"."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import read_answers
from llava_jax.evaluation.benchmarks.benchmark import File, Mark, Mode, Question, Score, accuracy
from llava_jax.problems import Problems
from tests.inference.tiny import picture


class Small:
    """Two questions about each picture; its truth is hidden where `hidden`."""

    name = "small"
    files: tuple[File, ...] = ()

    def __init__(self, pictures: int = 6, hidden: bool = False):
        self.pictures, self.hidden = pictures, hidden

    def load(self, data: Path) -> list[Question]:
        questions = []
        for number in range(2 * self.pictures):
            image = data / f"{number // 2}.png"
            if not image.exists():
                picture(number // 2).save(image)
            group, truth = ("even", "yes") if number % 2 == 0 else ("odd", "no")
            asked = f"Is <b>{number}</b> even?"
            questions.append(Question(f"q{number}", asked, (image,), truth, image.name, (group,)))
        return questions

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        if self.hidden:
            raise UserError("send it to the server")
        marks = []
        for question in questions:
            said = answers[question.id]
            read = "yes" if mode == "paper" and said == "maybe" else said
            read = read if read in ("yes", "no") else ""
            marks.append(Mark(question.id, read, float(read == question.truth)))
        return accuracy(questions, marks)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {"upload.txt": "\n".join(answers[q.id] for q in questions).encode()}
