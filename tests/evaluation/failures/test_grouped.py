"""Reading of answers, rotation of options, and units that are right only as a whole."""

from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark, File, Question
from llava_jax.evaluation.failures.grouped import Asked, Grouped, read, rotated
from tests.evaluation.failures.answering import right, scored, values

TWO = Asked("a cat.", {}, ("a cat.", "a dog"), lettered=True)


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("A", "a cat."),
        ("(b)", "a dog"),
        ("B. a dog", "a dog"),
        (" A: a cat", "a cat."),
        ("C", ""),
        ("A dog", "a dog"),
        ("There is a cat there", "a cat."),
        ("A cat, not a dog.", ""),
        ("A dogma", ""),
        ("", ""),
    ],
)
def test_options_are_read_by_letter_or_in_full(answer: str, option: str) -> None:
    assert read(TWO, answer) == option


def test_yes_and_no_are_read_from_the_first_word() -> None:
    said = ["Yes.", "no, it is yes", "\nNO", "Nothing", "It is: yes", ""]
    assert [read(Asked("yes", {}), answer) for answer in said] == ["yes", "no", "no", "", "", ""]


def test_words_are_read_where_there_are_no_letters() -> None:
    sides = Asked("left", {}, ("left", "right"))
    said = ["To the left.", "Right", "a", "left or right", "leftover"]
    assert [read(sides, answer) for answer in said] == ["left", "right", "", "", ""]


def test_every_option_stands_at_every_letter_once() -> None:
    question = Question("q", "Which?", (), None, "c")
    asked = rotated(question, ("w", "x", "y", "z"), {"all": "q"})
    assert [q.id for q in asked] == ["q/0", "q/1", "q/2", "q/3"]
    assert asked[1].prompt.startswith("Which?\nA. x\nB. y\nC. z\nD. w\n")
    assert [right(q) for q in asked] == ["A", "D", "C", "B"]


def questions_of(*rows: tuple[str, str, str]) -> list[Question]:
    """(unit, answer, group) of yes-or-no questions, each of its own cluster."""
    return [
        Question(str(n), "?", (), Asked(answer, {"unit": unit} if unit else {}), str(n), (group,))
        for n, (unit, answer, group) in enumerate(rows)
    ]


def test_a_unit_is_right_only_as_a_whole() -> None:
    questions = questions_of(
        ("a", "yes", "x"), ("a", "no", "x"), ("b", "yes", "x"), ("c", "yes", "y"), ("", "no", "z")
    )
    benchmark = Grouped("n", (), "unit", lambda data: questions, {"gap": ("x", "z")})
    assert isinstance(benchmark, Benchmark)
    assert values(scored(benchmark, questions, lambda q: "yes")) == pytest.approx(
        {"unit": 2 / 3, "x": 1 / 2, "y": 1, "z": 0, "single answers": 3 / 5, "gap": 2 / 3}
    )


def test_files_in_another_layout_are_refused(tmp_path: Path) -> None:
    def make(data: Path) -> list[Question]:
        return [Question({}["id"], "?", (), None, "c")]

    broken = Grouped("n", (File("n.json", "example.org"),), "unit", make)
    with pytest.raises(UserError, match=r"missing; download.*\n.*n.json: example.org"):
        broken.load(tmp_path)
    (tmp_path / "n.json").touch()
    with pytest.raises(UserError, match=r"not hold n in its public layout.*n.json from example"):
        broken.load(tmp_path)
    empty = Grouped("n", (), "unit", lambda data: [])
    with pytest.raises(UserError, match=r"nothing in .* can be asked"):
        empty.load(tmp_path)
