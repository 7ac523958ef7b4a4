from pathlib import Path

import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.importers.pictures import with_images
from llava_jax.problems import Problems
from tests.instruct.drawn import scene_of


def test_scenes_without_a_readable_image_are_set_aside(tmp_path: Path) -> None:
    names = ["whole.jpg", "whole.png", "cut.jpg", "page.jpg", "none.jpg", "folder.jpg"]
    for name in names[:3]:
        Image.effect_noise((300, 200), 90).convert("RGB").save(tmp_path / name)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-2000])
    (tmp_path / "page.jpg").write_text("<html>")
    (tmp_path / "folder.jpg").mkdir()
    scenes = [scene_of(image=name) for name in names]
    problems = Problems()
    assert with_images(scenes, tmp_path, problems) == scenes[:2]
    assert problems.lines() == [
        "2 x unreadable image (cut.jpg, page.jpg)",
        "2 x missing image (none.jpg, folder.jpg)",
    ]


def test_a_wrong_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        with_images([scene_of()], tmp_path / "none", Problems())
    with pytest.raises(UserError, match="no scene's image can be read"):
        with_images([scene_of()], tmp_path, Problems())
