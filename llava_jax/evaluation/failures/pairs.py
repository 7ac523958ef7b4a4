"""The same question about two images that look alike and answer it differently: MMVP, NaturalBench.

Whoever answers without seeing the difference is right about one of the two at most.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

from llava_jax.evaluation.benchmarks.benchmark import LETTER, SHORT, File, Question
from llava_jax.evaluation.failures.grouped import YES_NO, Asked, Grouped, rotated


def _mmvp(data: Path) -> Iterator[Question]:
    """Rows 1 and 2 are a pair, 3 and 4, ...; options are asked in both orders."""
    with (data / "Questions.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        number = int(row["Index"])
        pair = str((number + 1) // 2)
        listed = re.fullmatch(r"\s*\(a\)(.*)\(b\)(.*)", row["Options"], re.DOTALL)
        if not listed:
            raise ValueError(f"options of question {number}: {row['Options']}")
        options = [option.strip(" ;,\n") for option in listed.groups()]
        right = "ab".index(row["Correct Answer"].strip(" ()").lower())
        image = data / "MMVP Images" / f"{number}.jpg"
        question = Question(str(number), row["Question"].strip(), (image,), None, pair)
        units = {"pair": pair, "both orders": str(number)}
        yield from rotated(question, (options[right], options[1 - right]), units)


MMVP = Grouped(
    name="mmvp",  # Tong et al., 2024, arXiv 2401.06209
    files=(
        File("Questions.csv", "huggingface.co/datasets/MMVP/MMVP"),
        File("MMVP Images", "the same dataset"),
    ),
    metric="pair",
    make=_mmvp,
)


def _naturalbench(data: Path) -> Iterator[Question]:
    """Two questions about two images; G-Acc: all four right, Q-Acc: a question on both images,
    I-Acc: both questions on an image.

    Each question's two answers differ, so no order of options needs to be changed.
    """
    files = sorted((data / "data").glob("*.parquet"))
    rows = (row for file in files for row in pyarrow.parquet.read_table(file).to_pylist())
    for number, row in enumerate(rows):
        lettered = row["Question_Type"] == "multiple_choice"
        for n in (0, 1):
            for i in (0, 1):
                answer = row[f"Image_{i}_Question_{n}"].strip()
                units = {"G-Acc": f"{number}", "Q-Acc": f"{number}/q{n}", "I-Acc": f"{number}/i{i}"}
                yield Question(
                    f"{number}/q{n}i{i}",
                    row[f"Question_{n}"].strip() + (LETTER if lettered else SHORT),
                    (row[f"Image_{i}"]["bytes"],),
                    Asked(answer.upper(), units, ("A", "B"), lettered=True)
                    if lettered
                    else Asked(answer.lower(), units),
                    str(number),
                    (row["Question_Type"],),
                )


def _first_word_found(asked: Asked, answer: str) -> str:
    """The original: whichever of yes and no, or of A and B, stands first anywhere; "a" is an A."""
    yes_no = asked.options == YES_NO
    found = re.search(r"\b(yes|no)\b" if yes_no else r"\b(a|b)\b", answer, re.IGNORECASE)
    if not found:
        return ""
    return found.group().lower() if yes_no else found.group().upper()


NATURALBENCH = Grouped(
    name="naturalbench",  # Li et al., 2024, arXiv 2410.14669
    files=(File("data", "the parquet files of huggingface.co/datasets/BaiqiL/NaturalBench"),),
    metric="G-Acc",
    make=_naturalbench,
    paper=_first_word_found,
)
