"""Winoground, ARO and SugarCrepe from small files of their layouts."""

import json
from pathlib import Path

import pytest

from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.failures.captions import PARTS, SUGARCREPE, WINOGROUND, aro
from tests.evaluation.failures.answering import right, scored, values


def winoground(folder: Path, examples: int) -> list[Question]:
    (folder / "images").mkdir()
    rows = [
        {
            "id": n,
            "image_0": f"ex_{n}_img_0",
            "image_1": f"ex_{n}_img_1",
            "caption_0": "a dog chases a cat",
            "caption_1": "a cat chases a dog",
            "collapsed_tag": "Object",
        }
        for n in range(examples)
    ]
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return WINOGROUND.load(folder)


def test_winoground_asks_for_captions_and_for_images_in_both_orders(tmp_path: Path) -> None:
    questions = {q.id: q for q in winoground(tmp_path, 1)}
    assert len(questions) == 8
    text = questions["0/text1/0"]
    assert [path.name for path in text.images] == ["ex_0_img_1.png"]
    assert "A. a cat chases a dog\nB. a dog chases a cat\n" in text.prompt
    assert right(text) == "A"
    assert right(questions["0/text1/1"]) == "B"
    image = questions["0/image1/1"]
    assert [path.name for path in image.images] == ["ex_0_img_0.png", "ex_0_img_1.png"]
    assert "a cat chases a dog\nA. The first image\nB. The second image\n" in image.prompt
    assert right(image) == "B"


def test_winoground_scores(tmp_path: Path) -> None:
    questions = winoground(tmp_path, 4)
    assert set(values(scored(WINOGROUND, questions, right)).values()) == {1.0}
    constant = values(scored(WINOGROUND, questions, lambda q: "A"))
    assert constant.pop("single answers") == 0.5
    assert set(constant.values()) == {0.0}
    # example 0: one text wrong in one order; 1: one image wrong; 2: both
    wrong = {"0/text0/1", "1/image1/0", "2/text1/1", "2/image0/0"}
    score = scored(WINOGROUND, questions, lambda q: "none" if q.id in wrong else right(q))
    assert values(score) == {
        "group score": 1 / 4,
        "Object": 1 / 4,
        "text score": 2 / 4,
        "image score": 2 / 4,
        "single answers": 28 / 32,
    }
    assert score.invalid == 4


@pytest.mark.parametrize("part", ["relation", "attribution"])
def test_aro(tmp_path: Path, part: str) -> None:
    (tmp_path / "images").mkdir()
    row = {
        "image_path": "7.jpg",
        "true_caption": "the man is wearing the hat",
        "false_caption": "the hat is wearing the man",
        "relation_name": "wearing",
        "attributes": ["red", "old"],
        **{"bbox_x": 1, "bbox_y": 2, "bbox_w": 30, "bbox_h": 40},
    }
    (tmp_path / f"visual_genome_{part}.json").write_text(json.dumps([row, row]))
    questions = aro(part).load(tmp_path)
    assert [right(q) for q in questions] == ["A", "B", "A", "B"]
    assert questions[0].images == (tmp_path / "images" / "7.jpg",)
    assert questions[0].crop == (1, 2, 30, 40)
    score = scored(aro(part), questions, lambda q: "A" if q.id.startswith("0") else right(q))
    group = "wearing" if part == "relation" else "red_old"
    assert values(score) == {"both orders": 0.5, group: 0.5, "single answers": 0.75}


def test_sugarcrepe(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    for part in PARTS:
        row = {"filename": "1.jpg", "caption": f"{part} yes", "negative_caption": f"{part} no"}
        (tmp_path / f"{part}.json").write_text(json.dumps({"0": row}))
    questions = SUGARCREPE.load(tmp_path)
    score = scored(SUGARCREPE, questions, lambda q: "B" if "swap" in q.id else right(q))
    expected = {part: float("swap" not in part) for part in PARTS}
    assert values(score) == pytest.approx(
        {"both orders": 5 / 7, "single answers": 6 / 7, **expected}
    )
