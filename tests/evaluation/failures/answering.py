"""Answers to try a benchmark with: all right, or all the same."""

from collections.abc import Callable, Sequence

from llava_jax.evaluation.benchmarks.benchmark import Question, Score
from llava_jax.evaluation.failures.grouped import Grouped


def right(question: Question) -> str:
    asked = question.truth
    if asked.lettered:
        return "ABCD"[asked.options.index(asked.answer)]
    return f"{asked.answer.capitalize()}."


def scored(
    benchmark: Grouped, questions: Sequence[Question], answer: Callable[[Question], str]
) -> Score:
    return benchmark.score(questions, {q.id: answer(q) for q in questions}, "strict")


def values(score: Score) -> dict[str, float]:
    figures = {score.metric: score.overall, **score.categories, **score.figures}
    return {name: figure.value for name, figure in figures.items()}
