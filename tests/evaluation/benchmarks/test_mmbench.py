"""MMBench: rotations, the official matching, the table that is submitted."""

import base64
import csv
from pathlib import Path

import openpyxl
import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import LETTER
from llava_jax.evaluation.benchmarks.mmbench import MMBENCH, MMBENCH_CN
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_answers

COLUMNS = [
    *("index", "question", "hint", "A", "B", "C", "D", "answer"),
    *("category", "image", "source", "l2-category", "comment", "split"),
]
CAT, DOG = (base64.b64encode(f"{name} image".encode() * 10).decode() for name in ("cat", "dog"))


def row(index: int, question: str, hint: str, options: str, answer: str, image: str) -> list:
    words = [*options.split(), "", ""][:4]
    kind = "action" if question == "What?" else "ocr"
    return [index, question, hint, *words, answer, kind, image, "web", "perception", "", "dev"]


def small_set(folder: Path, stem: str = "mmbench_dev_20230712", hide: bool = False) -> Path:
    """One question with three options in three rotations, one with two in two."""
    rows = [
        row(5, "What?", "Look.", "cat dog bird", "A", CAT),
        row(6, "Which?", "nan", "red blue", "B", DOG),
        row(1000005, "What?", "Look.", "dog bird cat", "C", CAT),
        row(2000005, "What?", "Look.", "bird cat dog", "B", "5"),
        row(1000006, "Which?", "nan", "blue red", "A", DOG),
    ]
    with (folder / f"{stem}.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        keep = [n for n, name in enumerate(COLUMNS) if not (hide and name == "answer")]
        table.writerows([[line[n] for n in keep] for line in [COLUMNS, *rows]])
    return folder


def test_a_question_is_right_in_all_rotations_or_not(tmp_path: Path) -> None:
    questions = MMBENCH.load(small_set(tmp_path))
    assert questions[0].prompt == "Look.\nWhat?\nA. cat\nB. dog\nC. bird" + LETTER
    assert questions[1].prompt == "Which?\nA. red\nB. blue" + LETTER
    assert questions[3].images == questions[0].images == (base64.b64decode(CAT),)
    said = {5: "A", 6: "B", 1000005: "C.", 2000005: "it is a cat", 1000006: "B"}
    answers = MMBENCH.answers(write_answers(tmp_path / "a.jsonl", said), questions, Problems())
    paper, strict = (MMBENCH.score(questions, answers, mode) for mode in ("paper", "strict"))
    assert [mark.read for mark in paper.marks] == ["A", "B", "C", "B", "B"]
    assert {name: t.value for name, t in paper.categories.items()} == {
        **{"perception": 0.5, "action": 1.0, "ocr": 0.0},
    }
    assert paper.overall.value == 0.5
    assert paper.figures["accuracy of single rotations"].value == pytest.approx(4 / 5)
    assert [mark.read for mark in strict.marks] == ["A", "B", "", "", "B"]
    assert strict.overall.value == 0


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("(B)", "B"),
        ("B: dog", "B"),
        ("A", "A"),
        ("A or B", ""),
        ("A dog is in it", "B"),  # an article, then the words of one option
        ("cat and dog", ""),
        ("dog" + " and so on" * 9, ""),  # more than twice all options
    ],
)
def test_the_official_matching(tmp_path: Path, said: str, read: str) -> None:
    question = MMBENCH.load(small_set(tmp_path))[0]
    (mark,) = MMBENCH.score([question], {"5": said}, "paper").marks
    assert mark.read == read


def test_the_submission_is_llavas_table_and_can_be_read(tmp_path: Path) -> None:
    questions = MMBENCH.load(small_set(tmp_path))
    answers = {question.id: question.truth["answer"] for question in questions}
    ((name, content),) = MMBENCH.submission(questions, answers).items()
    assert name == "mmbench_dev_20230712.xlsx"
    table = tmp_path / name
    table.write_bytes(content)
    lines = list(openpyxl.load_workbook(table).active.iter_rows(values_only=True))
    assert lines[0] == (
        *("index", "question", "A", "B", "C", "D", "prediction", "answer", "split"),
    )
    assert lines[1] == (5, "What?", "cat", "dog", "bird", None, "A", "A", "dev")
    assert MMBENCH.answers(table, questions, Problems()) == answers


def test_other_files(tmp_path: Path) -> None:
    questions = MMBENCH_CN.load(small_set(tmp_path, "mmbench_dev_cn_20231003", hide=True))
    assert questions[1].prompt.endswith("\nB. blue\n请直接回答选项字母。")
    with pytest.raises(UserError, match=r"mmbench_dev_cn_20231003.tsv holds no answers"):
        MMBENCH_CN.score(questions, dict.fromkeys((q.id for q in questions), "A"), "paper")
    with pytest.raises(UserError, match=r"mmbench_dev_20230712.tsv: download.openmmlab.com"):
        MMBENCH.load(tmp_path)
    (tmp_path / "a.xlsx").write_text("no table")
    with pytest.raises(UserError, match="give an xlsx file"):
        MMBENCH.answers(tmp_path / "a.xlsx", questions, Problems())
