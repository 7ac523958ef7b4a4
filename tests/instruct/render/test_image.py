"""The teacher's text, against the released prompts where they are at hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from llava_jax.instruct.render.image import render_box, render_paper, render_symbols
from llava_jax.instruct.render.rendering import Rendered, estimated_tokens
from llava_jax.instruct.scene import Box, Entity, Relation, Scene, Text
from tests.instruct.drawn import scene_of

LINE = re.compile(r"(.+): \[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]")


def test_captions_blank_line_boxes() -> None:
    scene = scene_of(("dog", 0.2, 0.2), texts=("One.", "Two."))
    assert render_paper(scene).text == "One.\nTwo.\n\ndog: [0.15, 0.15, 0.25, 0.25]"
    assert render_paper(scene, boxes=False).text == "One.\nTwo."


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
        for rendered in (render_paper(scene), render_symbols(scene)):
            assert rendered == Rendered(text), example


def test_all_80_images_render_to_the_released_layout(shared_data: Path) -> None:
    lines = (shared_data / "coco_bench" / "caps_boxes_coco2014_val_80.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    for row in rows:
        entities = tuple(
            Entity(instance["category"], Box(*instance["bbox"])) for instance in row["instances"]
        )
        scene = scene_of(texts=tuple(row["captions"]), entities=entities)
        boxes = [
            f"{instance['category']}: {[float(corner) for corner in instance['bbox']]}"
            for instance in row["instances"]
        ]
        captions = "\n".join(row["captions"])
        expected = "\n".join([captions, "", *boxes]) if boxes else captions
        for rendered in (render_paper(scene), render_symbols(scene)):
            assert rendered == Rendered(expected), row["id"]
        assert render_paper(scene, boxes=False).text == captions
    assert (len(rows), sum(len(row["instances"]) for row in rows)) == (80, 476)


def rich() -> Scene:
    """What Visual Genome and text readers add to an image."""
    sign = Box(0.1, 0.1, 0.3, 0.2)
    return scene_of(
        texts=("A street.",),
        entities=(
            Entity("man", Box(0.5, 0.5, 0.6, 0.9), {"color": "tall"}, id="1"),
            Entity("man", Box(0.7, 0.5, 0.9, 0.9), id="2"),
            Entity("sign", sign, {"color": "red", "category": "thing"}, id="3", states=("bent",)),
            Entity("car", Box(0.0, 0.5, 0.4, 0.9), id="4", crowd=True),
        ),
        relations=(Relation("1", "looks at", "3"),),
        attributes={"background": "gray"},
    )


def test_what_coco_lacks_stands_below() -> None:
    read, region = Text("ocr", "STOP", Box(0.15, 0.1, 0.25, 0.2)), Text("region", "a bent sign")
    scene = rich()
    sign = scene.entities[2].box
    scene = replace(scene, texts=(*scene.texts, read, replace(region, box=sign)))
    assert render_symbols(scene).text == (
        "A street.\nbackground: gray\n\n"
        "man (tall): [0.5, 0.5, 0.6, 0.9]\nman: [0.7, 0.5, 0.9, 0.9]\n"
        "sign (red, bent): [0.1, 0.1, 0.3, 0.2]\n"
        "car (a group, not counted): [0.0, 0.5, 0.4, 0.9]\n\n"
        'Text that can be read:\n"STOP": [0.15, 0.1, 0.25, 0.2]\n\n'
        "Relations:\nman [0.5, 0.5, 0.6, 0.9] looks at sign\n\n"
        "Regions:\na bent sign: [0.1, 0.1, 0.3, 0.2]"
    )


@pytest.mark.parametrize("budget", range(0, 90, 3))
def test_a_budget_holds_and_the_rest_is_named(budget: int) -> None:
    scene = rich()
    for render in (render_symbols, render_paper):
        whole, rendered = render(scene), render(scene, budget)
        assert estimated_tokens(rendered.text) <= budget
        left_out = sum(int(words.split(" of ")[0]) for words in rendered.left_out)
        assert count_lines(rendered) + left_out == count_lines(whole)


def count_lines(rendered: Rendered) -> int:
    return sum(line not in ("", "Relations:") for line in rendered.text.split("\n"))


def test_the_second_of_a_label_goes_first_and_order_stays() -> None:
    rendered = render_paper(rich(), budget=27)
    assert [line.split(":")[0] for line in rendered.text.split("\n")] == [
        *("A street.", ""),
        *("man", "sign", "car"),
    ]
    assert "[0.7" in rendered.text
    assert rendered.left_out == ("1 of 4 objects",)
