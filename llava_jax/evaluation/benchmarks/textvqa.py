"""TextVQA: questions about words in images (Singh et al., 2019, arXiv 1904.08920)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.evaluation.answers import read_answers, read_json, read_lines
from llava_jax.evaluation.benchmarks import vqa
from llava_jax.evaluation.benchmarks.benchmark import (
    File,
    Mode,
    Question,
    Score,
    layout,
    required,
)
from llava_jax.problems import Problems

_PROMPTS = "playground/data/eval/textvqa in LLaVA's eval.zip"


class TextVqa:
    """VQA accuracy on val; the prompts name the words that an OCR found in the image.

    LLaVA joins by image and question in lower case; these are the id, numbered where an image is
    asked the same twice.
    """

    name = "textvqa"
    files = (
        File("llava_textvqa_val_v051_ocr.jsonl", _PROMPTS),
        File("TextVQA_0.5.1_val.json", "textvqa.org/dataset"),
    )

    def load(self, data: Path) -> list[Question]:
        asked, told = required(data, self.files)
        with layout(told):
            people = {
                f"{row['image_id']}: {row['question'].lower()}": row["answers"]
                for row in read_json(told)["data"]
            }
        numbered = _Numbered()
        questions = []
        with layout(asked):
            for _, row in read_lines(asked, Problems()):
                key = _key(row["question_id"], row["text"])
                questions.append(
                    Question(
                        id=numbered(key),
                        prompt=row["text"],
                        images=(data / "train_images" / row["image"],),
                        truth=people[key],
                        cluster=row["image"],
                    )
                )
        return questions

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        numbered = _Numbered()

        def named(id: str, row: dict[str, Any]) -> str:
            return numbered(_key(id, str(row.get("prompt", ""))))

        return read_answers(path, questions, problems, named)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        return vqa.vqa_score(questions, answers, _paper if mode == "paper" else vqa.strict)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


class _Numbered:
    """Tells the second of a name and later ones from the first."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name} #{self._seen[name]}"


def _key(image: str, prompt: str) -> str:
    """The question is the prompt's first line that is not the OCR's words."""
    lines = [line for line in prompt.split("\n") if not line.startswith("Reference OCR token:")]
    return f"{image}: {lines[0].lower() if lines else ''}"


def _paper(answer: str, people: Sequence[str]) -> tuple[str, Sequence[str]]:
    """TextVQA's evaluator: both sides are written as for an upload."""
    return vqa.upload(answer), [vqa.upload(person) for person in people]
