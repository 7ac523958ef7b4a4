"""Sight: an image's views are computed once, and kept while there is room."""

import io

import numpy as np
import pytest
from PIL import Image

from llava_jax.images import ImageError
from llava_jax.inference import programs, sight
from llava_jax.inference.sight import Picture, Sight, content_key
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from tests.inference import tiny

WIDE, SQUARE, TALL = tiny.picture(1, 100, 40), tiny.picture(2, 60, 60), tiny.picture(3, 50, 150)


PARAMS = tiny.random_params(tiny.TILES, Compute())


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sight, "_TOWER_BATCHES", (4,))


def new(config: LlavaConfig) -> Sight:
    return Sight(config, PARAMS, Compute(), "pad")


def look(eyes: Sight, *images: Picture) -> list[np.ndarray]:
    """The tokens of each image, one view after another."""
    named = {content_key(image): image for image in images}
    seen = eyes.see(named, eyes.layouts(named))
    return [tokens.reshape(-1, tiny.IMAGE_TOKENS, tokens.shape[-1]) for tokens in seen.values()]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views each call of the tower was given."""
    counts, see = [], programs.see

    def counted(*model: object) -> np.ndarray:
        pixels = model[-1]
        assert isinstance(pixels, np.ndarray)
        counts.append(int(pixels.any(axis=(1, 2, 3)).sum()))
        return see(*model)  # type: ignore[arg-type]

    monkeypatch.setattr(programs, "see", counted)
    return counts


def test_all_views_of_an_image_are_computed_once(
    computed: list[int], monkeypatch: pytest.MonkeyPatch
):
    eyes = new(tiny.TILES)
    features = look(eyes, WIDE, SQUARE, WIDE.copy())
    assert [len(views) for views in features] == [3, 5] and sum(computed) == 8
    (again, tall) = look(eyes, SQUARE, TALL)
    assert len(tall) == 4 and sum(computed) == 8 + 4
    np.testing.assert_array_equal(again, features[1])
    monkeypatch.setattr(sight, "_KEPT", 0)  # room for the newest call's alone
    look(eyes, SQUARE)
    assert sum(computed) == 8 + 4
    look(eyes, WIDE)
    assert sum(computed) == 8 + 4 + 3


def test_an_image_s_views_may_lie_in_two_batches_of_the_tower(
    computed: list[int], monkeypatch: pytest.MonkeyPatch
):
    cut = look(new(tiny.TILES), WIDE, SQUARE, TALL)
    monkeypatch.setattr(sight, "_TOWER_BATCHES", (1, 4, 16))
    whole = look(new(tiny.TILES), WIDE, SQUARE, TALL)
    assert computed == [4, 4, 4, 12]
    for some, others in zip(cut, whole, strict=True):
        np.testing.assert_allclose(some, others, atol=1e-5, rtol=0)


def test_the_oldest_are_forgotten_first(computed: list[int], monkeypatch: pytest.MonkeyPatch):
    eyes = new(tiny.TILES)
    wide, square = look(eyes, WIDE, SQUARE)
    monkeypatch.setattr(sight, "_KEPT", square.nbytes + wide.nbytes)
    look(eyes, TALL)  # 12 views, and room for 8: WIDE goes, which leaves 9, then SQUARE
    assert sum(computed) == 12
    look(eyes, WIDE)
    assert sum(computed) == 12 + 3
    look(eyes, TALL)
    assert sum(computed) == 12 + 3


def test_a_plain_model_opens_no_image_to_lay_out_a_prompt():
    broken = b"no image"
    layouts = new(tiny.CONFIG).layouts({"broken": broken})
    assert layouts["broken"].slots.tolist() == [0, 1, 2, 3]
    with pytest.raises(ImageError):
        new(tiny.TILES).layouts({"broken": broken})


def test_a_file_and_the_image_in_it_look_the_same():
    file = io.BytesIO()
    WIDE.save(file, "PNG")
    eyes = new(tiny.TILES)
    np.testing.assert_array_equal(*look(eyes, WIDE, file.getvalue()))


def test_a_key_tells_pixels_modes_and_palettes_apart():
    pixels = np.arange(48, dtype=np.uint8)
    images = [
        Image.fromarray(pixels.reshape(4, 12)),
        Image.fromarray(pixels.reshape(4, 4, 3)),
        Image.fromarray(pixels.reshape(12, 4)),
        Image.fromarray(pixels.reshape(4, 12)).convert("P"),
    ]
    assert len({content_key(image) for image in images}) == 4
    assert content_key(WIDE) == content_key(WIDE.copy())
