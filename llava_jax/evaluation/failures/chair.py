"""CHAIR: which of the things that a description names are not there (arXiv 1809.02156)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llava_jax.evaluation.answers import read_answers
from llava_jax.evaluation.benchmarks.benchmark import Mark, Mode, Question, Score, required
from llava_jax.evaluation.failures.scenes import COCO_FILES
from llava_jax.evaluation.scoring import words_in
from llava_jax.evaluation.statistics import Tally, tally
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS
from llava_jax.problems import Problems


@dataclass(frozen=True)
class Things:
    """known: labels whose absence the annotation would show; present: those that are there."""

    known: tuple[str, ...]
    present: frozenset[str]


class Chair:
    """Hallucinated among all mentions (CHAIR_i, the headline), descriptions with any (CHAIR_s), and
    the share of what is there that is named (recall). Lower is better, but for recall.

    Things are named by our synonyms and plurals; the figures "exact" count labels alone, wherever
    they stand. The original's list of synonyms is another, so its figures differ a little. Figures
    of answers of different lengths do not compare. Both modes are the same.
    """

    name = "chair"
    files = COCO_FILES

    def load(self, data: Path) -> list[Question]:
        required(data, self.files)
        files = CocoFiles.in_folder(data)
        return [
            Question(
                id=scene.id,
                prompt=DETAIL_QUESTIONS["image"][0],
                images=(files.images / scene.image,),
                truth=_things(scene),
                cluster=scene.id,
            )
            for scene in read_whole(files)
        ]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """A mark is right where nothing is hallucinated, and reads what was named."""
        said = [answers[question.id] for question in questions]
        named = [words_in(text, q.truth.known) for q, text in zip(questions, said, strict=True)]
        exact = [_exact(text, q.truth.known) for q, text in zip(questions, said, strict=True)]
        figures = _figures(questions, named)
        return Score(
            "CHAIR_i",
            figures.pop("CHAIR_i"),
            {},
            tuple(
                Mark(q.id, ", ".join(words), float(set(words) <= q.truth.present))
                for q, words in zip(questions, named, strict=True)
            ),
            figures | {f"{name}, exact": f for name, f in _figures(questions, exact).items()},
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


def _things(scene: Scene) -> Things:
    """As in the original, what people named in captions is there even if no box is around it."""
    known = scene.exhaustive.labels
    captioned = {label for caption in scene.captions for label in words_in(caption, known)}
    boxed = {entity.label for entity in scene.entities}
    return Things(known, frozenset(captioned | boxed))


def _exact(text: str, known: Sequence[str]) -> list[str]:
    return [k for k in known for _ in re.findall(rf"\b{re.escape(k)}\b", text, re.IGNORECASE)]


def _figures(questions: Sequence[Question], named: Sequence[Sequence[str]]) -> dict[str, Tally]:
    clusters = [question.cluster for question in questions]
    present = [question.truth.present for question in questions]
    wrong = [
        sum(w not in there for w in words) for words, there in zip(named, present, strict=True)
    ]
    found = [len(there.intersection(words)) for words, there in zip(named, present, strict=True)]
    return {
        "CHAIR_i": tally(clusters, wrong, [len(words) for words in named]),
        "CHAIR_s": tally(clusters, [n > 0 for n in wrong], [1.0] * len(wrong)),
        "recall": tally(clusters, found, [len(there) for there in present]),
    }
