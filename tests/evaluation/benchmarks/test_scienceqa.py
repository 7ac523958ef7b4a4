"""ScienceQA: both published rows from stored outputs, and the rules on small questions."""

import csv
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import Recorded
from llava_jax.evaluation.benchmarks.published import PUBLISHED
from llava_jax.evaluation.benchmarks.scienceqa import ScienceQa
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_answers, write_json

LLAVA = "test_sqa_llava_13b_v0.json"
GPT3 = "gpt3_final_test_QCM-ALE_2_seed_3.json"


@pytest.mark.parametrize(
    ("file", "model", "strict", "unread"),
    [
        (LLAVA, "LLaVA", 3855, 1),  # question 3247: a D of two options, drawn as the right one
        (GPT3, "GPT-3 with chain of thought", 3061, 249),  # of the 249 draws 127 were right
    ],
)
def test_published_rows(shared_data: Path, file: str, model: str, strict: int, unread: int) -> None:
    benchmark, problems = ScienceQa(), Problems()
    folder = shared_data / "scienceqa"
    questions = benchmark.load(folder)
    answers = benchmark.answers(folder / file, questions, problems)
    assert problems.counts == {}
    paper = benchmark.score(questions, answers, "paper")
    figures = {"": paper.overall} | dict(paper.categories)
    published = PUBLISHED["scienceqa"][model]
    assert {name: round(100 * f.value, 2) for name, f in figures.items()} == published
    by_words = benchmark.score(questions, answers, "strict")
    assert by_words.overall.sums.sum(axis=0).tolist() == [strict, 4241]
    assert by_words.invalid == unread


def small_set(folder: Path) -> Path:
    """A question with an image and two options, one with a context, three and a two-line one."""
    rows = [
        ("7", "<image>\nWhat is it?\nA. cat\nB. dog", "B", {"image": "7/image.png"}),
        ("8", "Context: A. Smith wrote.\nWho?\nA. he\nB. Love,\nTony\nC. you", "C", {}),
        ("9", "Why?\nA. so\nB. not", "A", {}),
    ]
    asked = [
        {
            "id": id,
            "conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": gold}],
            **image,
        }
        for id, q, gold, image in rows
    ]
    write_json(folder / "llava_test_CQM-A.json", asked)
    write_json(folder / "pid_splits.json", {"train": ["1"], "test": ["7", "8", "9"]})
    subjects = {"7": ("natural science", 2), "8": ("language science", 7)}
    subjects["9"] = ("social science", 6)
    problems = {id: {"subject": s, "grade": f"grade{g}"} for id, (s, g) in subjects.items()}
    write_json(folder / "problems.json", problems)
    return folder


def test_questions_of_both_layouts(tmp_path: Path) -> None:
    folder = small_set(tmp_path)
    questions = ScienceQa().load(folder)
    assert [q.groups for q in questions] == [
        ("NAT", "IMG", "G1-6"),
        ("LAN", "TXT", "G7-12"),
        ("SOC", "NO", "G1-6"),
    ]
    assert questions[0].images == (folder / "images" / "test" / "7" / "image.png",)
    assert questions[0].prompt == (
        "What is it?\nA. cat\nB. dog\nAnswer with the option's letter from the given choices "
        "directly."
    )
    assert questions[1].truth == ("C", {"A": "he", "B": "Love,\nTony", "C": "you"})
    (folder / "problems.json").unlink()
    with (folder / "id_grade_subject.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question_id", "question_id_no0", "grade", "subject"])
        table.writerow(["7", "1", "2", "natural science"])
        table.writerow(["8", "2", "7", "language science"])
        table.writerow(["9", "3", "6", "social science"])
    assert ScienceQa().load(folder) == questions
    (folder / "id_grade_subject.csv").unlink()
    with pytest.raises(UserError, match=r"problems.json: github.com/lupantech"):
        ScienceQa().load(folder)


def test_another_split_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path)
    write_json(folder / "pid_splits.json", {"test": ["7", "8"]})
    with pytest.raises(UserError, match="asks other questions than the test split"):
        ScienceQa().load(folder)
    write_json(folder / "pid_splits.json", {"val": []})
    with pytest.raises(UserError, match="not laid out as its release"):
        ScienceQa().load(folder)


@pytest.mark.parametrize(
    ("said", "paper", "strict"),
    [
        ("B", "B", "B"),
        ("B. dog", "B", "B"),
        ("Hm. The answer is B.", "B", "B"),
        (" B\n", "", "B"),
        ("The answer is B, a dog", "B", ""),  # any character ends the paper's letter
        ("The answer is Antarctica.", "A", ""),
        ("The answer is A. The answer is B.", "", ""),
        ("The answer is D.", "", ""),  # no such option
        ("D. bird", "", ""),
        ("it is a dog", "", ""),
        ("", "", ""),
        (Recorded("The answer is D.", 1), "B", ""),  # a draw that was kept
        (Recorded("B", -1), "", "B"),
    ],
)
def test_reading(tmp_path: Path, said: str, paper: str, strict: str) -> None:
    question = ScienceQa().load(small_set(tmp_path))[0]
    for mode, read in (("paper", paper), ("strict", strict)):
        (mark,) = ScienceQa().score([question], {"7": said}, mode).marks
        assert (mark.read, mark.right) == (read, float(read == "B"))


def test_answers_of_both_kinds(tmp_path: Path) -> None:
    benchmark = ScienceQa()
    questions = benchmark.load(small_set(tmp_path))
    lines = write_answers(tmp_path / "a.jsonl", {"9": "A", "7": "B"})
    problems = Problems()
    assert benchmark.answers(lines, questions, problems) == {"7": "B", "8": "", "9": "A"}
    assert problems.counts == {"question without an answer (counts as wrong)": 1}
    stored = {"results": {"7": 0, "1": 2}, "outputs": {"7": "A", "1": "C"}}
    problems = Problems()
    answers = benchmark.answers(write_json(tmp_path / "r.json", stored), questions, problems)
    assert answers == {"7": "A", "8": "", "9": ""}
    assert problems.counts["answer to another question"] == 1
    with pytest.raises(UserError, match="not laid out"):
        benchmark.answers(write_json(tmp_path / "o.json", {"7": "A"}), questions, Problems())
