"""MMVP and NaturalBench from small files of their layouts."""

import io
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.failures.pairs import MMVP, NATURALBENCH
from tests.evaluation.failures.answering import right, scored, values


def mmvp(folder: Path, *rows: str) -> list[Question]:
    (folder / "MMVP Images").mkdir()
    (folder / "Questions.csv").write_text(
        "\n".join(["Index,Question,Options,Correct Answer", *rows]) + "\n"
    )
    return MMVP.load(folder)


def test_mmvp(tmp_path: Path) -> None:
    wings, dog = "Open or closed?,(a) Open (b) Closed", '"Left, or right?",(a) Left (b) Right'
    questions = mmvp(tmp_path, f"1,{wings},(a)", f"2,{wings},(b)", f"3,{dog},(b)", f"4,{dog},(a)")
    assert len(questions) == 8
    assert questions[2].images == (tmp_path / "MMVP Images" / "2.jpg",)
    assert questions[2].prompt.startswith("Open or closed?\nA. Closed\nB. Open\n")
    assert set(values(scored(MMVP, questions, right)).values()) == {1.0}
    seen_once = scored(MMVP, questions, lambda q: "Open" if q.cluster == "1" else right(q))
    assert values(seen_once) == {"pair": 1 / 2, "both orders": 3 / 4, "single answers": 6 / 8}


def test_mmvp_with_other_options_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="options of question 1: A Open"):
        mmvp(tmp_path, "1,Open?,A Open,(a)")


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def natural(tmp_path: Path) -> list[Question]:
    row = {
        **{f"Question_{n}": f"Question {n}?" for n in (0, 1)},
        **{f"Image_{i}": {"bytes": picture(i), "path": f"{i}.jpg"} for i in (0, 1)},
        "Question_Type": "yes_no",
        **{"Image_0_Question_0": "Yes", "Image_1_Question_0": "No"},
        **{"Image_0_Question_1": "No", "Image_1_Question_1": "Yes"},
    }
    letters = {"Yes": "A", "No": "B"}
    other = {k: letters.get(v, v) if isinstance(v, str) else v for k, v in row.items()}
    rows = [row, other | {"Question_Type": "multiple_choice"}]
    (tmp_path / "data").mkdir()
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    return NATURALBENCH.load(tmp_path)


def test_naturalbench(natural: list[Question]) -> None:
    assert len(natural) == 8
    assert natural[1].images == (picture(1),)
    assert set(values(scored(NATURALBENCH, natural, right)).values()) == {1.0}
    # the first group: one wrong answer costs its question, its image and the group
    score = scored(NATURALBENCH, natural, lambda q: "No" if q.id == "0/q0i0" else right(q))
    assert values(score) == {
        "G-Acc": 1 / 2,
        "Q-Acc": 3 / 4,
        "I-Acc": 3 / 4,
        "single answers": 7 / 8,
        "yes_no": 0,
        "multiple_choice": 1,
    }
    constant = values(scored(NATURALBENCH, natural, lambda q: "Yes" if "0/" in q.id else "A"))
    assert constant["single answers"] == 1 / 2
    assert constant["Q-Acc"] == constant["I-Acc"] == constant["G-Acc"] == 0


def test_naturalbench_reads_as_published_in_paper_mode(natural: list[Question]) -> None:
    said = {q.id: "It is a B" if q.truth.lettered else "I think no" for q in natural}
    paper, strict = (NATURALBENCH.score(natural, said, mode) for mode in ("paper", "strict"))
    assert [mark.read for mark in paper.marks] == ["no"] * 4 + ["A"] * 4
    assert strict.invalid == 8
