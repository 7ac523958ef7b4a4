from pathlib import Path

import numpy as np
from PIL import Image

from llava_jax import sheet
from llava_jax.evaluation.probes import make_probes
from llava_jax.evaluation.run import ProbeRun, sheet_items
from llava_jax.sheet import SheetItem, SheetLine, draw_sheet
from tests.instruct.drawn import drawn_files, drawn_scenes

BLUE = Image.new("RGB", (30, 20), (20, 40, 230))


def has_color(path: Path, color: str) -> bool:
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as image:
        return bool((np.asarray(image.convert("RGB")) == wanted).all(-1).any())


def test_marks_tell_right_from_wrong(tmp_path: Path) -> None:
    for correct, present, absent in (
        (True, sheet.RIGHT, sheet.WRONG),
        (False, sheet.WRONG, sheet.RIGHT),
        (None, sheet.INK, sheet.WRONG),
    ):
        path = tmp_path / "new" / f"{correct}.png"
        draw_sheet([SheetItem(BLUE, (SheetLine("Is it?", "Yes.", "no", correct),))], path)
        assert has_color(path, present)
        assert not has_color(path, absent)
        assert has_color(path, "#1428e6")


def test_rows_and_columns(tmp_path: Path) -> None:
    items = [SheetItem(BLUE, (SheetLine("What?", "That."),))] * 5
    draw_sheet(items, tmp_path / "wide.png", columns=3)
    draw_sheet(items, tmp_path / "narrow.png", columns=1)
    with Image.open(tmp_path / "wide.png") as wide, Image.open(tmp_path / "narrow.png") as narrow:
        assert wide.width == 3 * sheet.CARD + 4 * sheet.MARGIN
        assert narrow.width == sheet.CARD + 2 * sheet.MARGIN
        assert narrow.height > 2 * wide.height


def test_long_answers_wrap_inside_the_card(tmp_path: Path) -> None:
    short = [SheetItem(BLUE, (SheetLine("What?", "That."),))]
    long = [SheetItem(BLUE, (SheetLine("What?", "this and that " * 20),))]
    draw_sheet(short, tmp_path / "short.png")
    draw_sheet(long, tmp_path / "long.png")
    with Image.open(tmp_path / "short.png") as a, Image.open(tmp_path / "long.png") as b:
        assert b.height > a.height + 5 * sheet.LINE_HEIGHT
        assert b.width == a.width
        edge = np.asarray(b)[sheet.MARGIN + sheet.CARD : -2 * sheet.MARGIN, -sheet.MARGIN - 8 : -2]
        assert edge.min() > 150  # nothing dark reaches the card's right edge


def test_items_of_a_run(tmp_path: Path) -> None:
    scenes = drawn_scenes(6, "held_out")
    files = drawn_files(tmp_path / "set", scenes)
    probes = make_probes(scenes, 0)
    answers = tuple(f"{' and '.join(probe.truth)} {probe.cue}" for probe in probes)
    run = ProbeRun(tuple(probes), answers)
    items = sheet_items(run, files.images, 4, questions=3)
    assert [len(item.lines) for item in items] == [3] * 4
    for item, scene in zip(items, scenes, strict=False):
        asked = {p.question: p.truth for p in probes if p.scene == scene.id}
        for line in item.lines:
            assert line.truth == ", ".join(asked[line.question])
            assert line.correct
    draw_sheet(items, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
