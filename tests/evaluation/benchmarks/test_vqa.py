"""VQA accuracy against its definition; the three benchmarks that it scores, in their layouts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks import vqa
from llava_jax.evaluation.benchmarks.textvqa import TextVqa
from llava_jax.evaluation.benchmarks.vizwiz import VizWiz
from llava_jax.evaluation.benchmarks.vqav2 import VqaV2
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_answers, write_json, write_lines


@given(st.sampled_from("abc"), st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_agreement_is_its_definition(said: str, people: list[str]) -> None:
    left_out = [people[:n] + people[n + 1 :] for n in range(len(people))]
    shares = [min(others.count(said) / 3, 1) for others in left_out]
    assert vqa.agreement(said, people) == pytest.approx(sum(shares) / len(shares))


@pytest.mark.parametrize(
    ("said", "upload", "official", "plain"),
    [
        ("The Two Dogs.", "2 dogs", "2 dogs", "2 dogs"),
        ("dont", "don't", "don't", "don't"),
        ("none", "0", "0", "0"),
        ("2.5", "2.5", "2.5", "2.5"),
        ("it is 3.", "it is 3", "it is 3", "it is 3"),
        ("T-shirt", "t shirt", "t shirt", "t shirt"),
        ("T-shirt - blue", "tshirt blue", "tshirt blue", "t shirt blue"),  # one kind, one rule
        ("1,000 T-shirts", "1000 t shirts", "1000 tshirts", "1000 t shirts"),
        ("dog's", "dog 's", "dog's", "dog's"),
        ("red, white", "red white", "red white", "red white"),
        ("." * 33, ".", ".", ""),
    ],
)
def test_normalisation(said: str, upload: str, official: str, plain: str) -> None:
    assert vqa.upload(said) == upload
    assert vqa.official(said) == official
    assert vqa.plain(said) == plain


def vqav2_folder(folder: Path) -> Path:
    asked = [
        {"image_id": 42, "question": "What is it?", "question_id": 42000},
        {"image_id": 42, "question": "Is it?", "question_id": 42001},
    ]
    write_json(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
    told = [
        {"question_id": 42001, "answer_type": "yes/no", "answers": [{"answer": "The yes"}] * 10},
        {
            "question_id": 42000,
            "answer_type": "other",
            "answers": [{"answer": "t-shirt"}] * 3 + [{"answer": "shirt"}] * 7,
        },
    ]
    write_json(folder / "v2_mscoco_val2014_annotations.json", {"annotations": told})
    return folder


def test_vqav2(tmp_path: Path) -> None:
    benchmark = VqaV2()
    questions = benchmark.load(vqav2_folder(tmp_path))
    assert questions[0].images == (tmp_path / "val2014" / "COCO_val2014_000000000042.jpg",)
    assert questions[0].prompt.startswith("What is it?\nAnswer the question using a single word")
    file = write_answers(tmp_path / "a.jsonl", {42001: "The yes", 42000: "T-shirt."})
    answers = benchmark.answers(file, questions, Problems())
    scores = {mode: benchmark.score(questions, answers, mode) for mode in ("paper", "strict")}
    # Three of ten: 0.9. What all say alike is not normalised for the paper's figure.
    for mode, unanimous in (("paper", 0.0), ("strict", 1.0)):
        categories = {name: t.value for name, t in scores[mode].categories.items()}
        assert categories == pytest.approx({"other": 0.9, "yes/no": unanimous})
        assert scores[mode].overall.value == pytest.approx((0.9 + unanimous) / 2)
    assert json.loads(benchmark.submission(questions, answers)["vqav2.json"]) == [
        {"question_id": 42000, "answer": "t shirt"},
        {"question_id": 42001, "answer": "yes"},
    ]


def test_vqav2_without_public_answers(tmp_path: Path) -> None:
    benchmark = VqaV2()
    with pytest.raises(UserError, match=r"val2014_annotations.json: visualqa.org"):
        benchmark.load(tmp_path)
    asked = [{"image_id": 1, "question": "What?", "question_id": 1000}]
    file = "v2_OpenEnded_mscoco_test-dev2015_questions.json"
    write_json(tmp_path / file, {"questions": asked})
    questions = benchmark.load(tmp_path)
    assert questions[0].images == (tmp_path / "test2015" / "COCO_test2015_000000000001.jpg",)
    with pytest.raises(UserError, match="not public: send the submission"):
        benchmark.score(questions, {"1000": "cat"}, "strict")
    uploaded = write_json(tmp_path / "up.json", [{"question_id": 1000, "answer": "cat"}])
    assert benchmark.answers(uploaded, questions, Problems()) == {"1000": "cat"}


def test_vizwiz(tmp_path: Path) -> None:
    benchmark = VizWiz()
    told = [{"answer": a} for a in ["unanswerable"] * 2 + ["Two cans"] * 8]
    row = {"question": "What?", "answers": told, "answer_type": "other", "answerable": 1}
    names = ["VizWiz_val_00000000.jpg", "VizWiz_val_00000001.jpg"]
    write_json(tmp_path / "val.json", [{"image": name, **row} for name in names])
    questions = benchmark.load(tmp_path)
    assert questions[1].images == (tmp_path / "val" / names[1],)
    assert questions[0].prompt == (
        "What?\nWhen the provided information is insufficient, respond with 'Unanswerable'."
        "\nAnswer the question using a single word or phrase."
    )
    file = write_answers(tmp_path / "a.jsonl", {1: "Unanswerable", 0: "Two cans"})
    answers = benchmark.answers(file, questions, Problems())
    assert answers == {names[0]: "Two cans", names[1]: "Unanswerable"}
    paper, strict = (benchmark.score(questions, answers, mode) for mode in ("paper", "strict"))
    # Two of ten agree: 2 x 1/3 + 8 x 2/3 over 10. The server leaves people's capitals.
    assert [mark.right for mark in paper.marks] == pytest.approx([0.0, 0.6])
    assert [mark.right for mark in strict.marks] == pytest.approx([1.0, 0.6])
    assert json.loads(benchmark.submission(questions, answers)["vizwiz.json"]) == [
        {"image": names[0], "answer": "2 cans"},
        {"image": names[1], "answer": "unanswerable"},
    ]


def test_textvqa(tmp_path: Path) -> None:
    benchmark = TextVqa()
    ocr = "\nReference OCR token: COLA, 12\nAnswer the question using a single word or phrase."
    asked = ["What brand?", "How much?", "How much?"]
    write_lines(
        tmp_path / "llava_textvqa_val_v051_ocr.jsonl",
        [{"question_id": "ab", "image": "ab.jpg", "text": q + ocr} for q in asked],
    )
    told = {"What brand?": ["Cola"] * 10, "how much?": ["12 oz."] * 4 + ["12"] * 6}
    rows = [{"image_id": "ab", "question": q, "answers": people} for q, people in told.items()]
    write_json(tmp_path / "TextVQA_0.5.1_val.json", {"data": rows})
    questions = benchmark.load(tmp_path)
    assert [question.prompt for question in questions] == [q + ocr for q in asked]
    assert [question.id for question in questions] == [
        *("ab: what brand?", "ab: how much?", "ab: how much? #2")
    ]
    said = [("How much?", "12 oz"), ("What brand?", "pepsi"), ("How much?", "13")]
    lines = [{"question_id": "ab", "prompt": q + ocr, "text": text} for q, text in said]
    answers = benchmark.answers(write_lines(tmp_path / "a.jsonl", lines), questions, Problems())
    assert list(map(answers.get, (q.id for q in questions))) == ["pepsi", "12 oz", "13"]
    score = benchmark.score(questions, answers, "paper")
    assert [mark.right for mark in score.marks] == pytest.approx([0, 1, 0])
    ours = write_answers(tmp_path / "ours.jsonl", answers)
    assert benchmark.answers(ours, questions, Problems()) == answers
