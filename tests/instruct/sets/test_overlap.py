import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.sets.fingerprints import fingerprints
from llava_jax.instruct.sets.overlap import (
    EvaluationSet,
    Overlap,
    find_overlap,
    overlap_lines,
    read_evaluation,
)
from llava_jax.instruct.sets.sample import Sample, sample_of
from llava_jax.problems import Problems
from tests.instruct.sets.pictures import picture, save

LONG = "which of the two animals on the left wears a blue hat"
ASKED = EvaluationSet(
    "bench",
    (
        Sample("q1", LONG, "000000000001.jpg"),
        Sample("q2", "describe this image as well as you can today", "000000000001.jpg"),
        Sample("q3", "describe this image as well as you can today", "000000000002.jpg"),
        Sample("q4", "is it a dog", "000000000002.jpg"),
    ),
    {},
)


def ways(sample: Sample, evaluation: EvaluationSet = ASKED, **options) -> list[str]:
    return [overlap.way for overlap in find_overlap([sample], {}, evaluation, **options)]


def test_by_image_id() -> None:
    assert ways(Sample("a", "", "COCO_train2014_000000000002.jpg")) == ["image id"]
    assert ways(Sample("a", "", "000000000003.jpg")) == []
    short = EvaluationSet("wild", (Sample("q", "x", "001.jpg"),), {})
    assert ways(Sample("a", "", "other/001.jpg"), short) == []


def test_by_words_in_a_row() -> None:
    said = "Well: which of the TWO animals, on the left, barks?"
    assert ways(Sample("a", said)) == ["text"]
    assert ways(Sample("a", said), gram=9) == []
    assert ways(Sample("a", "is it a dog")) == []  # anybody's question
    assert ways(Sample("a", "Describe this image as well as you can today!")) == []  # instruction
    # what is asked of several of our images is an instruction as well
    samples = [Sample("a", said, "1.jpg"), Sample("b", said, "1.jpg"), Sample("c", "x", "2.jpg")]
    assert [overlap.place for overlap in find_overlap(samples, {}, ASKED)] == [0, 1]
    samples[2] = Sample("c", said, "2.jpg")
    assert find_overlap(samples, {}, ASKED) == []


def test_by_pixels_and_by_picture(tmp_path: Path) -> None:
    asked, ours = tmp_path / "asked", tmp_path / "ours"
    for number in range(3):
        save(picture(number), asked, f"COCO_val2014_00000000000{number}.jpg")
    lines = [{"question_id": n, "image": f"00000000000{n}.jpg", "text": "What?"} for n in range(4)]
    (tmp_path / "bench.jsonl").write_text("\n".join(map(json.dumps, lines)))
    problems = Problems()
    evaluation = read_evaluation(tmp_path / "bench.jsonl", asked, problems)
    assert problems.lines() == ["1 x image without a fingerprint: no such file (000000000003.jpg)"]
    (ours / "x.jpg").parent.mkdir()
    (ours / "x.jpg").write_bytes((asked / "COCO_val2014_000000000001.jpg").read_bytes())
    save(picture(2).resize((48, 32)), ours, "y.jpg", quality=50)
    save(picture(9), ours, "z.jpg")
    samples = [Sample(name, "", name) for name in ("x.jpg", "y.jpg", "z.jpg")]
    prints = fingerprints(ours, [sample.image for sample in samples], Problems())
    found = find_overlap(samples, prints, evaluation)
    assert [(overlap.place, overlap.way) for overlap in found] == [
        (0, "image pixels"),
        (1, "picture"),
    ]
    assert "COCO_val2014_000000000002.jpg" in found[1].evidence


def test_lines_count_the_ways() -> None:
    samples = [Sample("a", LONG, "x"), Sample("b", "", "000000000001.png")]
    samples.append(Sample("c", f"oh {LONG}", "x"))
    found = find_overlap(samples, {}, ASKED)
    assert found[0] == Overlap(0, "bench", "text", f"question q1: {' '.join(LONG.split()[:8])}")
    assert overlap_lines(found, samples) == [
        f"bench: 2 by text, as a ({found[0].evidence})",
        "bench: 1 by image id, as b (000000000001.jpg)",
    ]


@pytest.mark.parametrize("content", ["", "no json", '{"a": 1}', '[{"text": 1}]', "[1]"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="evaluation set"):
        read_evaluation(path, None, Problems())
    with pytest.raises(UserError, match="No such file"):
        read_evaluation(tmp_path / "none.jsonl", None, Problems())
    with pytest.raises(UserError, match="no folder"):
        read_evaluation(path, tmp_path / "none", Problems())


def test_llavas_own_benchmarks(shared_data: Path) -> None:
    """The two releases of LLaVA-Bench (COCO) share 23 images, whose 69 questions agree."""
    coco, wild, pretrain = (
        shared_data / name for name in ("coco_bench", "llava_bench_wild", "lcs_2k")
    )
    asked = read_evaluation(coco / "qa90_questions.jsonl", coco / "images", Problems())
    in_wild = read_evaluation(wild / "questions.jsonl", wild / "images", Problems())
    twin = read_evaluation(coco / "coco2014_val_gpt4_qa_30x3.jsonl", coco / "images", Problems())
    # what the record's images are called, not the evaluation's files
    prints = fingerprints(coco / "images", [sample.image for sample in twin.samples], Problems())
    found = find_overlap(twin.samples, prints, asked)
    for way in ("image id", "image pixels"):
        assert len({overlap.place for overlap in found if overlap.way == way}) == 69
    assert {overlap.place for overlap in found if overlap.way == "text"} <= {
        overlap.place for overlap in found if overlap.way == "image id"
    }
    assert find_overlap(twin.samples, prints, in_wild) == []
    records = json.loads((pretrain / "chat.json").read_text())[:200]
    samples = [sample_of(record) for record in records]
    prints = fingerprints(pretrain / "images", [s.image for s in samples], Problems())
    assert find_overlap(samples, prints, asked) + find_overlap(samples, prints, in_wild) == []
