"""Which caption is true of the image: Winoground, ARO and SugarCrepe.

They were made for models that give an image and a caption a score. A model that answers in words is
asked to choose, in both orders of the choices: it is right only if it is right in both.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from llava_jax.evaluation.benchmarks.benchmark import File, Question
from llava_jax.evaluation.failures.grouped import Asked, Grouped, lettered, rotated

WHICH_CAPTION = "Which of these captions describes the image?"
WHICH_IMAGE = "Which of the two images does this caption describe?"
IMAGES = ("The first image", "The second image")


def _winoground(data: Path) -> Iterator[Question]:
    """Text score: of each image the caption is found. Image score: of each caption the image, by a
    question that shows both, in both orders. Group score: all of these.
    """
    lines = (data / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, filter(str.strip, lines)):
        id, tag = str(row["id"]), row.get("collapsed_tag")
        asked = Question(id, WHICH_CAPTION, (), None, id, (tag,) if tag else ())
        files = [data / "images" / f"{row[f'image_{n}']}.png" for n in (0, 1)]
        texts = [row["caption_0"], row["caption_1"]]
        for n, other in ((0, 1), (1, 0)):
            about_image = replace(asked, id=f"{id}/text{n}", images=(files[n],))
            units = {"text score": id, "group score": id}
            yield from rotated(about_image, (texts[n], texts[other]), units)
            units = {"image score": id, "group score": id}
            for place, order in enumerate(((n, other), (other, n))):
                yield replace(
                    asked,
                    id=f"{id}/image{n}/{place}",
                    prompt=lettered(f"{WHICH_IMAGE}\n{texts[n]}", IMAGES),
                    images=tuple(files[m] for m in order),
                    truth=Asked(IMAGES[place], units, IMAGES, lettered=True),
                )


WINOGROUND = Grouped(
    name="winoground",
    files=(
        File("examples.jsonl", "huggingface.co/datasets/facebook/winoground (data/, with consent)"),
        File("images", "images.zip of the same dataset, unpacked"),
    ),
    metric="group score",
    make=_winoground,
)


def _aro(part: str, data: Path) -> Iterator[Question]:
    """The part of the image that the caption is about, as in the original."""
    rows = json.loads((data / f"visual_genome_{part}.json").read_text(encoding="utf-8"))
    for number, row in enumerate(rows):
        id = str(number)
        group = row["relation_name"] if part == "relation" else "_".join(row["attributes"])
        question = Question(
            id,
            WHICH_CAPTION,
            (data / "images" / row["image_path"],),
            None,
            row["image_path"],
            (group,),
            (row["bbox_x"], row["bbox_y"], row["bbox_w"], row["bbox_h"]),
        )
        yield from rotated(
            question, (row["true_caption"], row["false_caption"]), {"both orders": id}
        )


def aro(part: str) -> Grouped:
    """ARO's Visual Genome "relation" or "attribution" (Yuksekgonul et al., 2023, arXiv 2210.01936).

    The headline counts captions alike; the paper averages over relations or pairs of attributes,
    which are the categories here.
    """
    source = "the links in dataset_zoo/aro_datasets.py of mertyg/vision-language-models-are-bows"
    return Grouped(
        name=f"aro-{part}",
        files=(
            File(f"visual_genome_{part}.json", source),
            File("images", f"vgr_vga_images.zip, unpacked, from {source}"),
        ),
        metric="both orders",
        make=partial(_aro, part),
    )


# Of SugarCrepe: what was done to the true caption.
PARTS = (
    *("add_att", "add_obj", "replace_att", "replace_obj"),
    *("replace_rel", "swap_att", "swap_obj"),
)


def _sugarcrepe(data: Path) -> Iterator[Question]:
    for part in PARTS:
        rows = json.loads((data / f"{part}.json").read_text(encoding="utf-8"))
        for key, row in rows.items():
            id = f"{part}/{key}"
            image = data / "val2017" / row["filename"]
            question = Question(id, WHICH_CAPTION, (image,), None, row["filename"], (part,))
            yield from rotated(
                question, (row["caption"], row["negative_caption"]), {"both orders": id}
            )


SUGARCREPE = Grouped(
    name="sugarcrepe",
    files=(
        *(File(f"{part}.json", "github.com/RAIVNLab/sugar-crepe, data/") for part in PARTS),
        File("val2017", "images.cocodataset.org/zips/val2017.zip, unpacked"),
    ),
    metric="both orders",
    make=_sugarcrepe,
)
