"""Images: equal to the original's pixels, and unreadable ones are one clear error."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.images import ImageError, load_image, preprocess


@pytest.fixture(scope="module")
def golden(golden_dir: Path):
    return json.loads((golden_dir / "images.json").read_text())["images"]


@pytest.mark.golden
@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_equals_the_original_at_56(golden_dir, golden, mode):
    arrays = np.load(golden_dir / "images.npz")
    for name, record in golden.items():
        pixels = preprocess(load_image(golden_dir / record["file"]), 56, mode)
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), arrays[f"{name}/{mode}_uint8"])


@pytest.mark.golden
@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_equals_the_original_at_336(golden_dir, golden, mode):
    for name, record in golden.items():
        pixels = preprocess(load_image((golden_dir / record["file"]).read_bytes()), 336, mode)
        channels_first = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        digest = hashlib.sha256(channels_first.tobytes()).hexdigest()
        assert digest == record["clip336"][mode]["uint8_sha256"], name


@pytest.mark.parametrize("mode", ["pad", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (640, 1), (1, 20_000), (20_000, 1), (3, 2)])
def test_extreme_shapes(size, mode):
    pixels = preprocess(Image.new("RGB", size, (10, 200, 30)), 28, mode)
    assert pixels.shape == (28, 28, 3) and pixels.dtype == np.uint8
    if mode == "crop" or size[0] == size[1]:
        assert (pixels == (10, 200, 30)).all()


def test_crop_keeps_the_centre_of_a_very_long_image():
    image = Image.new("RGB", (3000, 2), "red")
    image.paste("blue", (1480, 0, 1520, 2))
    assert (preprocess(image, 8, "crop") == (0, 0, 255)).all()


def test_pad_colour_is_that_of_the_mean():
    pixels = preprocess(Image.new("RGB", (60, 20), "white"), 30, "pad", mean=(0.5, 0.25, 1.0))
    assert pixels[0, 0].tolist() == [127, 63, 255]
    assert pixels[15, 15].tolist() == [255, 255, 255]


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_exif_rotation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = load_image(encoded(Image.new("RGB", (40, 20)), "jpeg", exif=exif))
    assert image.size == (40, 20)


def test_alpha_is_dropped_not_blended():
    image = load_image(encoded(Image.new("RGBA", (4, 4), (200, 100, 50, 0)), "png"))
    assert image.getpixel((0, 0)) == (200, 100, 50)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_unreadable_images(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    for bad in (whole[: len(whole) // 2], b"not an image", b"", whole[:8] + b"\0" * 50):
        path = tmp_path / "a.img"
        path.write_bytes(bad)
        with pytest.raises(ImageError, match=r"a\.img"):
            load_image(path)
        with pytest.raises(ImageError, match="shown to the user"):
            load_image(bad, name="shown to the user")


def test_missing_image_and_unknown_mode(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.png: no such file"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"choose one of \('pad', 'crop'\)"):
        preprocess(Image.new("RGB", (4, 4)), 8, "squash")


def test_image_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "truncated")))
    assert str(error) == "cannot read the image a.png: truncated"
