"""The teacher's text, against the released prompts where they are at hand."""

import json
import re
from pathlib import Path

from llava_jax.instruct.render.image import render_box, render_symbols
from llava_jax.instruct.scene import Box, Entity
from tests.instruct.drawn import scene_of

LINE = re.compile(r"(.+): \[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]")


def test_captions_blank_line_boxes() -> None:
    scene = scene_of(("dog", 0.2, 0.2), texts=("One.", "Two."))
    assert render_symbols(scene) == "One.\nTwo.\n\ndog: [0.15, 0.15, 0.25, 0.25]"
    assert render_symbols(scene, boxes=False) == "One.\nTwo."


def test_three_decimals_at_most() -> None:
    assert render_box(Box(0.0, 1 / 3, 2 / 3, 1.0)) == "[0.0, 0.333, 0.667, 1.0]"


def test_the_released_prompts_come_out_again(shared_data: Path) -> None:
    examples = sorted((shared_data / "datagen_prompts").glob("*/*_caps.txt"))
    assert len(examples) == 8
    for example in examples:
        text = example.read_text(encoding="utf-8")
        captions, _, boxes = text.partition("\n\n")
        entities = []
        for line in boxes.splitlines():
            match = LINE.fullmatch(line)
            assert match
            entities.append(Entity(match[1], Box(*map(float, match.groups()[1:]))))
        scene = scene_of(texts=tuple(captions.split("\n")), entities=tuple(entities))
        assert render_symbols(scene) == text


def test_the_judge_prompts_boxes_survive(shared_data: Path) -> None:
    lines = (shared_data / "coco_bench" / "caps_boxes_coco2014_val_80.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    count = 0
    for row in rows:
        for instance in row["instances"]:
            x1, y1, x2, y2 = instance["bbox"]
            assert render_box(Box(x1, y1, x2, y2)) == str([float(v) for v in instance["bbox"]])
            count += 1
    assert (len(rows), count) == (80, 476)
