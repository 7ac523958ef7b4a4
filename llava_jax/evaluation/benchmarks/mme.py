"""MME: a question to be answered with yes and one with no about each image (2306.13394)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import joined, read_answers
from llava_jax.evaluation.benchmarks.benchmark import (
    SHORT,
    File,
    Mark,
    Mode,
    Question,
    Score,
    accuracy,
    layout,
    required,
)
from llava_jax.evaluation.benchmarks.choices import yes_or_no
from llava_jax.evaluation.statistics import Tally, tally
from llava_jax.problems import Problems

PERCEPTION = (
    *("existence", "count", "position", "color", "posters"),
    *("celebrity", "scene", "landmark", "artwork", "OCR"),
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")

_IMAGES = "MME_Benchmark_release_version"
_ASKS = "Please answer yes or no."
_TABLES = "eval_tool/Your_Results"


class Mme:
    """Points: for each subtask the percentage of right questions and of images with both right.

    Perception is ten subtasks (of 2000 points), cognition four (of 800). Questions and truth come
    from the tables of the eval tool (SUBTASK.txt: image, question, truth, tab between them), there
    or in the data folder itself, else from the texts beside the release's images. An id is the
    subtask, the image without its ending, and the question.
    """

    name = "mme"
    files = (
        File(
            _TABLES,
            "eval_tool.zip at github.com/BradyFU/Awesome-Multimodal-Large-Language-Models, "
            "branch Evaluation (its Your_Results, one SUBTASK.txt for each of the 14)",
        ),
    )

    def load(self, data: Path) -> list[Question]:
        questions = []
        for subtask in (*PERCEPTION, *COGNITION):
            for image, asked, truth in self._rows(data, subtask):
                questions.append(
                    Question(
                        id=_id(subtask, image, asked),
                        prompt=_bare(asked) + SHORT,
                        images=(_folders(data / _IMAGES / subtask)[1] / image,),
                        truth=truth.strip().lower(),
                        cluster=f"{subtask}/{PurePath(image).stem}",
                        groups=(subtask,),
                    )
                )
        _check_pairs(questions, data)
        return questions

    def _rows(self, data: Path, subtask: str) -> Iterator[Sequence[str]]:
        """Image, question and truth."""
        for folder in (data / _TABLES, data):
            if (folder / f"{subtask}.txt").exists():
                yield from (row[:3] for row in _table(folder / f"{subtask}.txt", columns=3))
                return
        required(data, [] if (data / _IMAGES / subtask).is_dir() else self.files)
        texts, images = _folders(data / _IMAGES / subtask)
        for text in sorted(texts.glob("*.txt")):
            image = next((i.name for i in images.glob(f"{text.stem}.*") if i != text), text.stem)
            yield from ((image, *row[:2]) for row in _table(text, columns=2))

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """LLaVA's answers (known by image and prompt), or a folder of the eval tool's tables with
        the prediction as fourth column.
        """
        if not path.is_dir():
            return read_answers(
                path,
                questions,
                problems,
                lambda id, row: _id(id.partition("/")[0], id, str(row.get("prompt", ""))),
            )
        found = {}
        for subtask in (*PERCEPTION, *COGNITION):
            table = path / f"{subtask}.txt"
            for number, row in enumerate(_table(table, columns=3), start=1):
                if len(row) < 4:
                    problems.note("line without a prediction", f"{table.name} line {number}")
                else:
                    found[_id(subtask, row[0], row[1])] = row[3]
        return joined(found, questions, path, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        read = _paper if mode == "paper" else yes_or_no
        marks = []
        for question in questions:
            said = read(answers[question.id])
            marks.append(Mark(question.id, said, float(said == question.truth)))
        present = dict.fromkeys(group for question in questions for group in question.groups)
        return Score(
            "points of 2000 (perception)",
            _points(questions, marks, PERCEPTION),
            {subtask: _points(questions, marks, [subtask]) for subtask in present},
            tuple(marks),
            {
                "cognition, points of 800": _points(questions, marks, COGNITION),
                "accuracy": accuracy(questions, marks).overall,
            },
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """Tables for the eval tool, with the prediction on one line."""
        tables: dict[str, str] = {}
        for question in questions:
            (subtask,), (image,) = question.groups, question.images
            asked = f"{question.prompt.removesuffix(SHORT)} {_ASKS}"
            said = " ".join(answers[question.id].split())
            row = (PurePath(str(image)).name, asked, question.truth.capitalize(), said)
            tables[f"{subtask}.txt"] = tables.get(f"{subtask}.txt", "") + "\t".join(row) + "\n"
        return {name: table.encode() for name, table in tables.items()}


def _points(questions: Sequence[Question], marks: Sequence[Mark], subtasks: Sequence[str]) -> Tally:
    """Four columns for each subtask: right, questions, images with both right, images."""
    clusters = [question.cluster for question in questions]
    right = np.array([mark.right for mark in marks])
    wrong_images = {c for c, r in zip(clusters, right, strict=True) if not r}
    # An image counts half with each of its two questions.
    whole = np.array([0.5 * (cluster not in wrong_images) for cluster in clusters])
    columns = []
    for subtask in subtasks:
        here = np.array([question.groups == (subtask,) for question in questions])
        columns += [right * here, here, whole * here, 0.5 * here]
    return tally(clusters, *columns, of=_sum_of_points)


def _sum_of_points(sums: np.ndarray) -> np.ndarray | np.floating:
    """Over subtasks, whose columns come in fours; 0 of a subtask without questions."""
    right, asked, whole, images = (sums[..., column::4] for column in range(4))
    return 100 * (right / np.maximum(asked, 1) + whole / np.maximum(images, 1)).sum(axis=-1)


def _paper(answer: str) -> str:
    """The official parser: yes, else no, anywhere in the first four letters ("None" is a no)."""
    start = answer.lower()[:4]
    return next((word for word in ("yes", "no") if word in start), "")


def _table(file: Path, columns: int) -> Iterator[list[str]]:
    """Rows of a file with tabs, which has at least so many columns."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}): take it from the eval tool") from error
    with layout(file):
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = line.split("\t")
            if len(row) < columns:
                raise ValueError(f"line {number} has less than {columns} columns")
            yield row


def _check_pairs(questions: Sequence[Question], data: Path) -> None:
    truths: dict[str, list[str]] = {}
    for question in questions:
        truths.setdefault(question.cluster, []).append(question.truth)
    for cluster, said in truths.items():
        if len(said) != 2 or not set(said) <= {"yes", "no"}:
            raise UserError(
                f"{data} has not two questions with yes or no about {cluster}: download it again"
            )


def _id(subtask: str, image: str, question: str) -> str:
    return f"{subtask}/{PurePath(image).stem}: {_bare(question)}"


def _bare(question: str) -> str:
    """Without the wish for how to be answered."""
    return question.replace(SHORT.strip(), "").replace(_ASKS, "").strip()


def _folders(subtask: Path) -> tuple[Path, Path]:
    """Where the release has the texts and the images of a subtask: apart, or together."""
    if (subtask / "images").is_dir():
        return subtask / "questions_answers_YN", subtask / "images"
    return subtask, subtask
