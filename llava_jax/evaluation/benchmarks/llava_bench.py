"""LLaVA-Bench (COCO) and (In-the-Wild): answers that a judge marks beside GPT-4's (LLaVA, 2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import read_answers, read_lines
from llava_jax.evaluation.benchmarks.benchmark import File, Mark, Mode, Question, Score, required
from llava_jax.evaluation.judge.judgement import Item, Judgement, Marks, Verdict
from llava_jax.evaluation.judge.relative import relative_scores, win_rates
from llava_jax.evaluation.judge.verdicts import HIGHEST, UNREAD, read_as_the_paper, read_marks
from llava_jax.evaluation.statistics import tally
from llava_jax.problems import Problems

STORED = "stored reviews"  # who judged, where a file of reviews does not say
_COCO = "github.com/haotian-liu/LLaVA, playground/data/coco2014_val_qa_eval/"
_WILD = "huggingface.co/datasets/liuhaotian/llava-bench-in-the-wild"


@dataclass(frozen=True)
class Known:
    """What the judge is given with a question: the reference's answer, and words on the image."""

    answer: str
    context: str


@dataclass(frozen=True)
class LlavaBench:
    """One of the two sets: questions, contexts and references, in the order of `files`.

    rule_prefix: stands before a category in LLaVA's rule.json.

    `answers` and `score` take a judge's reviews (LLaVA's files of them: one review a question, the
    reference shown first). A model's answers are judged first:

        answers = bench.model_answers(path, questions, problems)
        judgement = judge_items(bench.items(questions, answers), judge, method, store, budget)
        bench.judged(questions, judgement, mode)
    """

    name: str
    files: tuple[File, ...]
    images: str
    rule_prefix: str

    def load(self, data: Path) -> list[Question]:
        """Contexts are joined by image, references by question id; each must be there."""
        questions, contexts, references = required(data, self.files)
        known = {row["image"]: _context(row) for row in _rows(contexts)}
        answers = {str(row["question_id"]): row["text"] for row in _rows(references)}
        loaded = []
        for row in _rows(questions):
            id, image = str(row["question_id"]), row["image"]
            if id not in answers or image not in known:
                lacking = references if id not in answers else contexts
                raise UserError(f"{lacking} has nothing for question {id}: download it again")
            truth = Known(answers[id], known[image])
            shown = data / self.images.format(image)
            loaded.append(Question(id, row["text"], (shown,), truth, image, (row["category"],)))
        return loaded

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """Reviews by question id: a judge's words ("content"); "" where there is no review.

        Where a review's "tuple" is not what the original's parser reads in its words, the tuple is
        put before them, since published figures are made of tuples.
        Raises UserError for a file of a model's answers, which have not been judged yet.
        """
        wanted = {question.id for question in questions}
        reviews: dict[str, str] = {}
        for number, row in read_lines(path, problems):
            where = f"{path.name} line {number}"
            id, review = str(row.get("question_id")), _review(row)
            if review is None:
                problems.note("line without question_id and content", where)
            elif id not in wanted:
                problems.note("review of another question", f"{where}: {id}")
            elif id in reviews:
                problems.note("second review of a question", f"{where}: {id}")
            else:
                reviews[id] = review
        if not reviews:
            raise UserError(
                f"{path} holds no review of {self.name}: give a file of reviews, or have the "
                "answers judged first (launch/judge.py)"
            )
        for question in questions:
            if question.id not in reviews:
                problems.note("question without a review", question.id)
                reviews[question.id] = ""
        return reviews

    def model_answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """A model's answers, to be judged."""
        return read_answers(path, questions, problems)

    def items(self, questions: Sequence[Question], answers: Mapping[str, str]) -> list[Item]:
        """What a judge compares: the reference's answers and a model's."""
        return [_item(question, answers[question.id]) for question in questions]

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """What stored reviews say; the model's own words are neither known here nor needed."""
        verdicts = []
        for question in questions:
            text = answers[question.id]
            read = read_as_the_paper if mode == "paper" else read_marks
            marks = read(text) if text else None
            verdicts.append(Verdict(question.id, "reference first", text, marks, int(bool(text))))
        items = tuple(_item(question, "") for question in questions)
        return self.judged(questions, Judgement(STORED, items, tuple(verdicts)), mode)

    def judged(self, questions: Sequence[Question], judgement: Judgement, mode: Mode) -> Score:
        """Relative score over all and by category.

        "paper": of the verdicts with the reference first; unreadable ones count as -1 and -1, and
        questions without a review are passed over. "strict": the mean of the orders that there
        are; unreadable verdicts and missing ones are excluded, and too many of them void the score.
        """
        if mode == "paper":
            judgement = judgement.only("reference first")
        scores, read = relative_scores(judgement), judgement.read
        clusters, ones = [item.cluster for item in read], np.ones(len(read))
        pairs = np.array([judgement.marks[item.id] for item in read]).reshape(-1, 2)
        return Score(
            "relative score",
            scores.pop("all"),
            scores,
            tuple(_mark(question.id, judgement.marks.get(question.id)) for question in questions),
            {
                "reference's mark of ten": tally(clusters, pairs[:, 0] / HIGHEST, ones),
                "candidate's mark of ten": tally(clusters, pairs[:, 1] / HIGHEST, ones),
                "win rate": win_rates(judgement)["all"],
            },
            judgement.void if mode == "strict" else "",
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


LLAVA_BENCH_COCO = LlavaBench(
    "llava_bench_coco",
    (
        File("qa90_questions.jsonl", _COCO),
        File("caps_boxes_coco2014_val_80.jsonl", "github.com/haotian-liu/LLaVA, llava/eval/table/"),
        File("qa90_gpt4_answer.jsonl", _COCO),
    ),
    "val2014/COCO_val2014_{}",
    "",
)
LLAVA_BENCH_WILD = LlavaBench(
    "llava_bench_wild",
    tuple(File(name, _WILD) for name in ("questions.jsonl", "context.jsonl", "answers_gpt4.jsonl")),
    "images/{}",
    "llava_bench_",
)


def _rows(path: Path) -> list[dict[str, Any]]:
    """All lines of a file of the benchmark, where a broken line is an error."""
    problems = Problems()
    rows = [row for _, row in read_lines(path, problems)]
    if problems.counts:
        raise UserError(f"{path} is damaged ({problems.lines()[0]}): download it again")
    return rows


def _context(row: Mapping[str, Any]) -> str:
    """In-the-Wild: a text (LLaVA's first script put each of its letters on a line of its own).

    COCO: captions, then boxes as fractions of width and height.
    """
    if "captions" not in row:
        return row["caption"]
    boxes = [f"{instance['category']}: {instance['bbox']}" for instance in row["instances"]]
    return "\n".join([*row["captions"], "", *boxes])


def _review(row: Mapping[str, Any]) -> str | None:
    """A row's words, its tuple before them if they do not begin with it; None if it has neither."""
    content, pair = row.get("content", ""), row.get("tuple")
    if not isinstance(pair, list) or len(pair) != 2:
        pair = []
    if "question_id" not in row or not isinstance(content, str) or not (content or pair):
        return None
    if pair and (not content or tuple(pair) != read_as_the_paper(content)):
        return f"{pair[0]} {pair[1]}\n{content}"
    return content


def _item(question: Question, answer: str) -> Item:
    known: Known = question.truth
    return Item(
        question.id,
        known.context,
        question.prompt,
        known.answer,
        answer,
        question.cluster,
        question.groups[0],
    )


def _mark(id: str, marks: Marks | None) -> Mark:
    """right: the candidate's mark as a share of the best one."""
    if marks is None or marks == UNREAD:
        return Mark(id, "", 0.0)
    return Mark(id, "{:g} {:g}".format(*marks), marks[1] / HIGHEST)
