from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.sources import read_scenes
from llava_jax.problems import Problems
from tests.instruct.drawn import drawn_files, drawn_scenes


def test_scenes_come_with_their_images(tmp_path: Path) -> None:
    files = drawn_files(tmp_path / "set", drawn_scenes(4))
    given = {"instances": files.instances, "captions": files.captions, "images": files.images}
    problems = Problems()
    scenes = read_scenes("coco", given, problems)
    assert len(scenes) == 4 and not problems.counts
    assert read_scenes("openmoji", {"annotations": tmp_path / "set"}, problems) == scenes
    (files.images / scenes[1].image).unlink()
    assert read_scenes("coco", given, problems) == [scenes[0], *scenes[2:]]
    assert problems.counts == {"missing image": 1}


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("coko", {}, r"no source 'coko'; choose from coco, caps_boxes"),
        ("coco", {}, r"give an instances_\*\.json of COCO"),
        ("coco", {"instances": "none"}, r"--instances: there is no none; give .* cocodataset\.org"),
        ("coco", {"annotations": "."}, "does not use --annotations; it takes --instances, --capt"),
        ("visual_genome", {}, r"needs --annotations: give the folder .* from visualgenome\.org"),
    ],
)
def test_what_is_missing_is_named(name: str, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_scenes(name, {key: Path(path) for key, path in files.items()}, Problems())
