"""Sheets of sample answers: which records they show, and what stands on them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from llava_jax.config import Stage, parse
from llava_jax.data.records import Record, StoredImage
from llava_jax.inference.engine import ask
from llava_jax.sheet import SheetItem
from llava_jax.training import samples
from llava_jax.training.samples import sample_records, write_samples
from tests.inference import tiny
from tests.tiny_run import tiny_recipe, turns


def stage_of(folder: Path) -> Stage:
    config = tiny_recipe(folder)
    config.stage.instruct.data.more = config.stage.align.data.captions
    return parse(config).stage["instruct"]


def test_the_same_first_records_with_an_image_at_every_call(tiny_folder: Path, tmp_path: Path):
    shown = [sample_records(stage_of(tiny_folder), tmp_path) for _ in range(2)]
    assert [record.id for record in shown[0]] == ["0", "1", "2", "4", "5", "6"]
    assert shown[0] == shown[1]


def test_what_training_skips_is_not_shown(tiny_folder: Path, tmp_path: Path):
    (tiny_folder / "images" / "1.png").write_bytes(b"\x89PNG nonsense")
    (tiny_folder / "images" / "2.png").unlink()
    path = tiny_folder / "instructions.json"
    records = json.loads(path.read_text())
    del records[4]["conversations"][1:]
    path.write_text(json.dumps(records))
    shown = sample_records(stage_of(tiny_folder), tmp_path)
    assert [record.id for record in shown] == ["0", "5", "6", "7", "8", "9"]


def test_a_second_source_fills_up_and_text_alone_shows_nothing(tiny_folder: Path, tmp_path: Path):
    path = tiny_folder / "instructions.json"
    records = json.loads(path.read_text())
    path.write_text(json.dumps(records[3:5]))  # text, and one image
    shown = sample_records(stage_of(tiny_folder), tmp_path)
    assert [record.id for record in shown] == ["4", "0", "1", "2", "3", "4"]
    (tiny_folder / "captions.json").write_text(json.dumps(records[3:4]))
    path.write_text(json.dumps(records[3:4]))
    assert sample_records(stage_of(tiny_folder), tmp_path) == []


def test_a_sheet_holds_questions_answers_and_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[SheetItem] = []

    def draw(items: Sequence[SheetItem], path: Path) -> None:
        drawn.extend(items)
        samples_draw_sheet(items, path)

    samples_draw_sheet = samples.draw_sheet
    monkeypatch.setattr(samples, "draw_sheet", draw)
    monkeypatch.setattr(samples, "_LONGEST", 6)
    engine, records = tiny.engine(), []
    for number in (1, 2):
        encoded = io.BytesIO()
        tiny.picture(number).save(encoded, "PNG")
        image = StoredImage(f"{number}.png", encoded.getvalue())
        talk = turns("<image>\nWhat?", f"It is {number}.") + turns("Sure?", "Yes.")
        records.append(Record(str(number), talk, (image,)))
    path = write_samples(engine, records, tmp_path / "new" / "sheet.png")
    asked = [ask("What?", tiny.picture(number), max_new_tokens=6) for number in (1, 2)]
    for number, item, answer in zip((1, 2), drawn, engine.generate(asked), strict=True):
        (line,) = item.lines
        assert (line.question, line.answer, line.truth) == (
            "What?",
            answer.text,
            f"It is {number}.",
        )
        assert item.image.tobytes() == tiny.picture(number).tobytes()
    assert drawn[0].lines != drawn[1].lines
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
