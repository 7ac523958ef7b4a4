"""From responses to a set: what is dropped and why, and the files that tell."""

import json
from pathlib import Path

import pytest
from PIL import Image

from llava_jax.instruct.dataset import (
    DataSet,
    Output,
    judged,
    without_duplicates,
    without_overlap,
    write_checks,
    write_set,
)
from llava_jax.instruct.sets.overlap import EvaluationSet
from llava_jax.instruct.sets.sample import Sample
from llava_jax.instruct.turns import Request, Response, Turn
from llava_jax.problems import Problems
from tests.instruct.drawn import scene_of

TRUE = Turn("Is there a dog in the image?", "Yes.")
FALSE = Turn("Is there a cat in the image?", "Yes.")


def respond(*answers: tuple[int, str, Turn | None]) -> list[Response]:
    """(number of the image, kind, turn); without a turn the teacher failed."""
    responses = []
    for number, kind, turn in answers:
        scene = scene_of(("dog", 0.5, 0.5), id=str(number), image=f"{number}.png")
        turns = (turn,) if turn else ()
        problem = "" if turn else "unreachable: refused"
        responses.append(Response(Request(scene, kind), turns, "told", problem))
    return responses


@pytest.fixture
def data() -> DataSet:
    return judged(
        respond(
            (1, "conversation", TRUE),
            (1, "detail", TRUE),
            (1, "complex", FALSE),
            (2, "conversation", None),
            (2, "complex", TRUE),
        )
    )


def ids(data: DataSet) -> list[str]:
    return [entry.provenance.id for entry in data.kept]


def test_a_claim_that_fails_drops_its_response(data: DataSet) -> None:
    assert ids(data) == ["1-conversation", "1-detail", "2-complex"]
    (step,) = data.steps
    assert (step.before, step.after) == (4, 3)
    assert data.report.dropped == {"objects": 1}
    assert data.report.problems == {"unreachable": 1}


def test_filters_say_what_they_dropped_and_why(data: DataSet) -> None:
    alone = without_duplicates(data, {})
    assert ids(alone) == ["1-conversation", "2-complex"]  # no prints: other names, other pictures
    question = "Is there a dog in the image that nobody has ever seen before?"
    evaluation = EvaluationSet("bench", (Sample("7", question, "000000000002.jpg"),), {})
    known = scene_of(("dog", 0.5, 0.5), image="COCO_val2014_000000000002.jpg")
    response = Response(Request(known, "detail"), (TRUE,), "told")
    renamed = judged([response, *respond((1, "detail", TRUE))])
    apart = without_overlap(renamed, {}, evaluation)
    assert [step.after for step in apart.steps] == [2, 1]
    assert [entry.provenance.dropped for entry in apart.entries] == [
        "overlap: image id: 000000000002.jpg",
        "",
    ]
    (found,) = apart.overlaps
    assert (found.evaluation, found.samples) == ("bench", 1)


def test_the_files_hold_every_response_once(data: DataSet, tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{number}.png")
    problems = Problems()
    problems.note("box outside the image", "a.json: 3")
    output = Output(tmp_path / "out", "A set", held_out=0.5, seed=1, shown=3, images=tmp_path)
    files = write_set(data, output, problems)
    assert all(file.exists() for file in files)
    assert not list((tmp_path / "out").glob("*.partial"))
    train, held_out = (json.loads(file.read_text()) for file in files[:2])
    images = [{record["image"] for record in part} for part in (train, held_out)]
    assert not images[0] & images[1]
    assert sorted(r["id"] for r in train + held_out) == sorted(ids(data))
    lines = (tmp_path / "out" / "provenance.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [
        entry.provenance.id for entry in data.entries
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {row["id"] for row in report["rejected"]} == {"1-complex", "2-conversation"}
    assert report["set_aside"] == {"box outside the image": 1}
    page = (tmp_path / "out" / "preview.html").read_text()
    assert (
        page.count("<image") == 3 and "unreachable: refused" not in page
    )  # one rejected, two kept
    assert "A set" in (tmp_path / "out" / "README.md").read_text()


def test_checks_alone_write_no_records(data: DataSet, tmp_path: Path) -> None:
    written = write_checks(data, Output(tmp_path, "A set"), Problems())
    assert {file.name for file in written} == {file.name for file in tmp_path.iterdir()}
    assert "instructions.json" not in {file.name for file in written}
