"""ScienceQA ensembles: the stored pair, and a judge on small questions."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from llava_jax.evaluation import ensemble
from llava_jax.evaluation.benchmarks.benchmark import Mark, Mode, Question, accuracy
from llava_jax.evaluation.benchmarks.choices import Choice
from llava_jax.evaluation.benchmarks.scienceqa import ScienceQa
from llava_jax.problems import Problems
from llava_jax.remote.answer import Answer
from llava_jax.remote.prompt import Prompt
from tests.evaluation.benchmarks.test_scienceqa import GPT3, LLAVA


def test_complement_and_bound_of_the_stored_pair(shared_data: Path) -> None:
    benchmark, folder = ScienceQa(), shared_data / "scienceqa"
    questions = benchmark.load(folder)

    def marks(file: str, mode: Mode) -> tuple[Mark, ...]:
        answers = benchmark.answers(folder / file, questions, Problems())
        return benchmark.score(questions, answers, mode).marks

    combined = ensemble.complement(marks(GPT3, "strict"), marks(LLAVA, "strict"))
    score = accuracy(questions, combined)
    assert round(100 * score.overall.value, 2) == 76.61
    assert set(score.categories) == {"NAT", "SOC", "LAN", "TXT", "IMG", "NO", "G1-6", "G7-12"}
    drawn = marks(GPT3, "paper"), marks(LLAVA, "paper")  # the bound counts recorded draws
    bound = accuracy(questions, ensemble.oracle(*drawn))
    assert round(100 * bound.overall.value, 2) == 94.86
    only_gpt3, only_llava, chance = ensemble.sole_wins(*drawn)
    assert only_gpt3 + 3856 == only_llava + 3188 == round(0.948597 * 4241)
    assert chance < 1e-100


QUESTIONS = [
    Question(f"{n}", f"Why {n}?\nA. a\nB. b", (), Choice("A", {"A": "a", "B": "b"}), f"{n}")
    for n in range(5)
]


def marks(read: str) -> list[Mark]:
    """A mark for each question; A is right, - is unread."""
    return [Mark(f"{n}", letter.strip("-"), float(letter == "A")) for n, letter in enumerate(read)]


def test_a_judge_decides_where_the_two_differ() -> None:
    answers = {f"{n}": f"words {n}" for n in range(5)}
    asked = []

    def ask(prompts: Sequence[Prompt]) -> list[Answer]:
        asked.extend(prompts)
        replies = ["Hm. The answer is A.", "It is hard to say.", "The answer is B."]
        return [Answer("", text=text) for text in replies]

    model, llava = marks("AAB-B"), marks("ABAAB")
    found, unread = ensemble.judged(QUESTIONS, (model, answers), (llava, answers), ask)
    assert [prompt.messages[0].content.count("words") for prompt in asked] == [2, 2, 2]
    assert [f"Why {n}?" in p.messages[0].content for n, p in zip("123", asked, strict=True)] == [
        *(True, True, True)
    ]
    assert "".join(mark.read for mark in found) == "AAABB"
    assert [mark.right for mark in found] == [1, 1, 1, 0, 0]
    assert unread == ["2"]
    assert ensemble.judged(QUESTIONS, (llava, answers), (llava, answers), ask) == (llava, [])


def test_schemes_by_hand() -> None:
    model, llava = marks("AB-BA"), marks("BAAB-")
    assert "".join(mark.read for mark in ensemble.complement(model, llava)) == "ABABA"
    assert [mark.right for mark in ensemble.oracle(model, llava)] == [1, 1, 1, 0, 1]
    assert ensemble.sole_wins(model, llava) == (2, 2, 1.0)
    with pytest.raises(ValueError, match="different questions"):
        ensemble.complement(model, llava[1:])
