"""VSR and What'sUp from small files of their layouts."""

import json
from pathlib import Path

import pytest

from llava_jax.evaluation.failures.places import WHATSUP, vsr, whatsup
from tests.evaluation.failures.answering import right, scored, values


@pytest.mark.parametrize("split", ["random", "zeroshot"])
def test_vsr(tmp_path: Path, split: str) -> None:
    (tmp_path / "images").mkdir()
    file = tmp_path / "splits" / split / "test.jsonl"
    file.parent.mkdir(parents=True)
    rows = [
        {
            "image": "1.jpg",
            "caption": "The cup is on the bed.",
            "label": label,
            "relation": relation,
        }
        for label, relation in ((1, "on"), (0, "on"), (1, "under"), (0, "under"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = vsr(split).load(tmp_path)
    assert "statement true of the image?\nThe cup is on the bed.\n" in questions[0].prompt
    assert set(values(scored(vsr(split), questions, right)).values()) == {1.0}
    score = scored(vsr(split), questions, lambda q: "no" if q.id == "0" else "yes")
    assert values(score) == {"accuracy": 0.25, "single answers": 0.25, "on": 0, "under": 0.5}


def test_whatsup_counts_pairs_and_sets_of_controlled_photos(tmp_path: Path) -> None:
    (tmp_path / "controlled_clevr").mkdir()
    places = ("left_of", "right_of", "in-front_of", "behind")
    texts = [f"A mug {place} a plate" for place in places]
    rows = [
        {
            "image_path": f"data/controlled_clevr/mug_{place}_plate.jpeg",
            "caption_options": [text, *(other for other in texts if other != text)],
        }
        for place, text in zip(places, texts, strict=True)
    ]
    (tmp_path / "controlled_clevr_dataset.json").write_text(json.dumps(rows))
    benchmark = whatsup("controlled-b")
    questions = benchmark.load(tmp_path)
    assert len(questions) == 16
    assert questions[0].images == (tmp_path / "controlled_clevr" / "mug_left_of_plate.jpeg",)
    assert set(values(scored(benchmark, questions, right)).values()) == {1.0}
    assert values(scored(benchmark, questions, lambda q: "A"))["single answers"] == 0.25
    score = scored(benchmark, questions, lambda q: "A" if q.id == "2/1" else right(q))
    assert values(score) == {
        "all orders": 3 / 4,
        "pair": 1 / 2,
        "set": 0,
        "single answers": 15 / 16,
        **{"left": 1, "right": 1, "in-front": 0, "behind": 1},
    }


@pytest.mark.parametrize(
    ("subset", "photo"), [("coco-two", "000000000139.jpg"), ("vg-one", "139.jpg")]
)
def test_whatsup_of_photos(tmp_path: Path, subset: str, photo: str) -> None:
    file, folder = WHATSUP[subset]
    (tmp_path / folder).mkdir()
    row = [139, "A cat left of a dog", "A cat right of a dog"]
    (tmp_path / file).write_text(json.dumps([row]))
    questions = whatsup(subset).load(tmp_path)
    assert [q.images[0].name for q in questions] == [photo, photo]
    assert [right(q) for q in questions] == ["A", "B"]
    assert scored(whatsup(subset), questions, lambda q: "A").overall.value == 0
