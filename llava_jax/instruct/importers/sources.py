"""The data sets that scenes can be read from: which files each needs, and who reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.instruct.importers import (
    activitynet,
    alfred,
    caps_boxes,
    coco,
    r2r,
    scan3r,
    star,
    visual_genome,
)
from llava_jax.instruct.importers.pictures import with_images
from llava_jax.instruct.scene import Scene
from llava_jax.problems import Problems

Files = Mapping[str, Path]  # by the names that a source declares


@dataclass(frozen=True)
class Source:
    """A data set. needs, takes: what its files and folders are and where to get them, by name.

    All of `needs` must be given; what of `takes` is not given is not read.
    """

    read: Callable[[Files, Problems], list[Scene]]
    needs: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, str] = field(default_factory=dict)


def _coco(files: Files, problems: Problems) -> list[Scene]:
    return coco.read_scenes(files.get("instances"), files.get("captions"), problems)


def _openmoji(files: Files, problems: Problems) -> list[Scene]:
    drawn = coco.CocoFiles.in_folder(files["annotations"])
    return coco.read_scenes(drawn.instances, drawn.captions, problems)


def _scan3r(files: Files, problems: Problems) -> list[Scene]:
    graphs = files["annotations"]
    return scan3r.read_scenes(
        files["scans"],
        graphs / "objects.json",
        graphs / "relationships.json",
        files["rooms"],
        problems,
    )


def _star(files: Files, problems: Problems) -> list[Scene]:
    star_files = star.StarFiles(files["annotations"], files["classes"], files.get("frames"))
    return star.read_scenes(star_files, problems)


SOURCES = {
    "coco": Source(
        _coco,
        takes={
            "instances": "an instances_*.json of COCO 2014 or 2017, from cocodataset.org",
            "captions": "the captions_*.json of the same images, from cocodataset.org",
            "images": "COCO's folder of these images, such as train2017, from cocodataset.org",
        },
    ),
    "caps_boxes": Source(
        lambda files, problems: caps_boxes.read_scenes(files["annotations"], problems),
        needs={
            "annotations": "the caps_boxes_coco2014_val_80.jsonl of LLaVA-Bench (COCO), from "
            "github.com/haotian-liu/LLaVA, playground/data/coco2014_val_qa_eval"
        },
        takes={"images": "a folder of COCO's val2017 or train2017 images, from cocodataset.org"},
    ),
    "visual_genome": Source(
        lambda files, problems: visual_genome.read_scenes(files["annotations"], problems),
        needs={
            "annotations": "the folder with Visual Genome's image_data.json and objects.json (and "
            "attributes.json, relationships.json, region_descriptions.json), from visualgenome.org"
        },
        takes={"images": "the folder with VG_100K and VG_100K_2, from visualgenome.org"},
    ),
    "activitynet": Source(
        lambda files, problems: activitynet.read_scenes(files["annotations"], problems),
        needs={
            "annotations": "train.json, val_1.json or val_2.json of ActivityNet Captions, from "
            "cs.stanford.edu/people/ranjaykrishna/densevid"
        },
    ),
    "star": Source(
        _star,
        needs={
            "annotations": "STAR_train.json or STAR_val.json, from bobbywu.com/STAR",
            "classes": "the folder STAR_classes, from github.com/csbobby/STAR_Benchmark",
        },
        takes={
            "frames": "the folder of frames that Action Genome's tool dumped, from "
            "github.com/JingweiJ/ActionGenome"
        },
    ),
    "3rscan": Source(
        _scan3r,
        needs={
            "scans": "3RScan.json, from waldjohannau.github.io/RIO",
            "annotations": "the folder with 3DSSG's objects.json and relationships.json, from "
            "3dssg.github.io",
            "rooms": "3RScan's folder of scans with their semseg.v2.json, from "
            "waldjohannau.github.io/RIO",
        },
    ),
    "r2r": Source(
        lambda files, problems: r2r.read_scenes(
            files["connectivity"], files["annotations"], problems
        ),
        needs={
            "annotations": "R2R_train.json or another split of R2R, from bringmeaspoon.org",
            "connectivity": "the folder connectivity, from "
            "github.com/peteanderson80/Matterport3DSimulator",
        },
    ),
    "alfred": Source(
        lambda files, problems: alfred.read_scenes(files["annotations"], problems),
        needs={"annotations": "the folder json_2.1.0 of ALFRED, from askforalfred.com"},
    ),
    "openmoji": Source(
        _openmoji,
        needs={"annotations": "a folder of drawn scenes, as launch/train.py leaves in data/train"},
        takes={"images": "the folder `images` in the folder of drawn scenes"},
    ),
}


def read_scenes(name: str, files: Files, problems: Problems) -> list[Scene]:
    """The scenes of a source, of those whose image is there where the "images" are given.

    Raises UserError for a name that is not in SOURCES, for a file that is missing or that the
    source does not use, and as the source's reader does.
    """
    if name not in SOURCES:
        raise UserError(f"no source {name!r}; choose from {', '.join(SOURCES)}")
    source = SOURCES[name]
    known = {**source.needs, **source.takes}
    for key, what in known.items():
        if key in source.needs and key not in files:
            raise UserError(f"source {name} needs --{key}: give {what}")
        if key in files and not files[key].exists():
            raise UserError(f"--{key}: there is no {files[key]}; give {what}")
    if unused := sorted(files.keys() - known.keys()):
        choices = ", ".join(f"--{key}" for key in known)
        raise UserError(f"source {name} does not use --{unused[0]}; it takes {choices}")
    scenes = source.read(files, problems)
    return with_images(scenes, files["images"], problems) if "images" in files else scenes
