"""Where things are: VSR's true and false statements, and What'sUp's captions."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from llava_jax.evaluation.benchmarks.benchmark import SHORT, File, Question
from llava_jax.evaluation.failures.captions import WHICH_CAPTION
from llava_jax.evaluation.failures.grouped import Asked, Grouped, rotated

IS_TRUE = "Is this statement true of the image?"


def _vsr(split: str, data: Path) -> Iterator[Question]:
    lines = (data / "splits" / split / "test.jsonl").read_text(encoding="utf-8").splitlines()
    for number, row in enumerate(map(json.loads, filter(str.strip, lines))):
        yield Question(
            str(number),
            f"{IS_TRUE}\n{row['caption']}{SHORT}",
            (data / "images" / row["image"],),
            Asked("yes" if int(row["label"]) else "no", {"accuracy": str(number)}),
            row["image"],
            (row["relation"],),
        )


def vsr(split: str) -> Grouped:
    """Visual Spatial Reasoning's "random" or "zeroshot" test (Liu et al., 2023, arXiv 2205.00363).

    About half of the statements are true; categories are the relations.
    """
    source = "github.com/cambridgeltl/visual-spatial-reasoning, data/"
    return Grouped(
        name=f"vsr-{split}",
        files=(
            File(f"splits/{split}/test.jsonl", source),
            File("images", f"vsr_images.zip, unpacked, by the link in the README of {source}"),
        ),
        metric="accuracy",
        make=partial(_vsr, split),
    )


# subset -> (file of captions, folder of images)
WHATSUP = {
    "controlled-a": ("controlled_images_dataset.json", "controlled_images"),
    "controlled-b": ("controlled_clevr_dataset.json", "controlled_clevr"),
    "coco-one": ("coco_qa_one_obj.json", "val2017"),
    "coco-two": ("coco_qa_two_obj.json", "val2017"),
    "vg-one": ("vg_qa_one_obj.json", "vg_images"),
    "vg-two": ("vg_qa_two_obj.json", "vg_images"),
}
AXES = {"left": "x", "right": "x", "on": "y", "under": "y", "in-front": "z", "behind": "z"}


def _whatsup(subset: str, data: Path) -> Iterator[Question]:
    """The first caption of each row is the right one."""
    captions, folder = WHATSUP[subset]
    rows = json.loads((data / captions).read_text(encoding="utf-8"))
    for number, row in enumerate(rows):
        if subset.startswith("controlled"):
            name, options = Path(row["image_path"]).name, row["caption_options"]
            units, place = _controlled(name)
        else:
            name, options = _photo(subset, row[0]), row[1:3]
            units, place = {}, ""
        question = Question(
            str(number),
            WHICH_CAPTION,
            (data / folder / name,),
            None,
            units.get("set", name),
            (place,) if place else (),
        )
        yield from rotated(question, options, {"all orders": str(number), **units})


def _controlled(name: str) -> tuple[dict[str, str], str]:
    """Pair and set of "mug_left_of_plate.jpeg": its opposite, and all four places of the two."""
    words = Path(name).stem.split("_")
    things = f"{words[0]}/{words[-1]}"
    return {"pair": f"{things}/{AXES[words[1]]}", "set": things}, words[1]


def _photo(subset: str, id: Any) -> str:
    return f"{int(id):012d}.jpg" if subset.startswith("coco") else f"{id}.jpg"


def whatsup(subset: str) -> Grouped:
    """One of What'sUp's six sets (Kamath et al., 2023, arXiv 2310.19785), a key of WHATSUP.

    A caption is right if it is chosen in every rotation of the options: four in the controlled
    sets, two elsewhere. Pairs and sets of controlled photos count as in the paper.
    """
    captions, folder = WHATSUP[subset]
    source = "the folder linked in the README of github.com/amitakamath/whatsup_vlms"
    return Grouped(
        name=f"whatsup-{subset}",
        files=(File(captions, source), File(folder, f"its archive, unpacked, from {source}")),
        metric="all orders",
        make=partial(_whatsup, subset),
    )
