"""Example pictures, with the pocket recipe's font or without."""

from pathlib import Path

import numpy as np
from PIL import Image

from llava_jax.serving.examples import draw_examples


def test_without_the_font_there_are_shapes(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "empty"))
    shapes = [np.asarray(Image.open(path)) for path in draw_examples(tmp_path)]
    assert len(shapes) == 4 and not np.array_equal(shapes[0], shapes[1])
    assert not (tmp_path / "empty").exists()  # nothing is fetched


def test_with_the_font_there_are_scenes(tmp_path: Path, pocket_font: Path):
    scenes = [np.asarray(Image.open(path)) for path in draw_examples(tmp_path)]
    assert all(len(np.unique(scene.reshape(-1, 3), axis=0)) > 1000 for scene in scenes)
