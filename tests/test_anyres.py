"""AnyRes: the original's resolutions, views and counts; what transformers does otherwise."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from transformers import LlavaNextImageProcessor
from transformers.models.llava_next import modeling_llava_next

from llava_jax.anyres import AnyRes, Merge
from llava_jax.images import load_image
from llava_jax.text.encode import NEWLINE

PINPOINTS = ((56, 112), (112, 56), (112, 112), (168, 56), (56, 168))


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, Any]:
    return json.loads((golden_dir / "images.json").read_text())


def pinpoints_of(golden: dict[str, Any], name: str) -> tuple[tuple[int, int], ...]:
    return tuple((width, height) for width, height in golden["pinpoints"][name])


@pytest.mark.golden
def test_resolutions_grids_and_counts_are_the_original_s(golden):
    assert len(golden["sizes"]) == 330
    for case in golden["sizes"]:
        size, pinpoints = tuple(case["size_wh"]), pinpoints_of(golden, case["pinpoints"])
        edge = case["features_side"]
        side, features = edge * 14, edge * edge
        anyres = AnyRes(pinpoints)
        assert anyres.best_resolution(size) == tuple(case["best_resolution_wh"])
        assert anyres.grid(size, side) == tuple(case["grid_shape_wh"])
        unpadded = anyres.layout(size, side, features)
        assert len(unpadded.slots) == case["tokens_spatial_unpad"]
        rows, columns = case["unpadded_rows_cols"]
        assert (unpadded.slots == NEWLINE).sum() == rows
        assert (unpadded.slots[features:] >= 0).sum() == rows * columns
        for merge in ("spatial", "flat"):
            layout = AnyRes(pinpoints, merge).layout(size, side, features)
            assert len(layout.slots) == layout.features == case["tokens_spatial"]
            assert unpadded.features == layout.features


@pytest.mark.golden
def test_views_are_the_original_s_at_56(golden_dir, golden):
    arrays, anyres = np.load(golden_dir / "images.npz"), AnyRes(pinpoints_of(golden, "p56"))
    for name, record in golden["images"].items():
        views = anyres.views(load_image(golden_dir / record["file"]), 56)
        expected = arrays[f"{name}/anyres_uint8"]
        np.testing.assert_array_equal(views.transpose(0, 3, 1, 2), expected, name)


@pytest.mark.golden
def test_views_are_the_original_s_at_336(golden_dir, golden):
    anyres = AnyRes(pinpoints_of(golden, "p336"))
    for name, record in golden["images"].items():
        image, expected = load_image(golden_dir / record["file"]), record["clip336"]
        assert anyres.best_resolution(image.size) == tuple(expected["best_resolution_wh"])
        views = anyres.views(image, 336)
        assert len(views) == expected["anyres_views"]
        channels_first = np.ascontiguousarray(views.transpose(0, 3, 1, 2))
        digest = hashlib.sha256(channels_first.tobytes()).hexdigest()
        assert digest == expected["anyres"]["uint8_sha256"], name


def test_tiles_stand_row_by_row_with_black_around_the_image():
    image = Image.new("RGB", (112, 84), "red")
    image.paste("blue", (56, 0, 112, 84))
    base, *tiles = AnyRes(((112, 112),)).views(image, 56)
    assert (base[:, 0] == (255, 0, 0)).all() and (base[:, -1] == (0, 0, 255)).all()
    top, bottom = slice(14, 56), slice(0, 42)  # 14 rows of padding above and below
    shown = [(top, "red"), (top, "blue"), (bottom, "red"), (bottom, "blue")]
    for tile, (rows, colour) in zip(tiles, shown, strict=True):
        expected = np.zeros_like(tile)
        expected[rows] = ImageColor.getrgb(colour)
        np.testing.assert_array_equal(tile, expected)


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("flat", range(12)),
        ("spatial", [0, 1, 2, 3, 4, 5, 8, 9, 6, 7, 10, 11]),
        ("spatial_unpad", [0, 1, 2, 3, 4, 5, 8, 9, NEWLINE, 6, 7, 10, 11, NEWLINE]),
    ],
)
def test_two_tiles_of_two_by_two_features(merge: Merge, expected):
    layout = AnyRes(((56, 28),), merge).layout((200, 100), 28, 4)
    assert layout.slots.tolist() == list(expected) and layout.features == 12


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 50), [6, 7, 10, 11, NEWLINE, 12, 13, 16, 17, NEWLINE]),
        ((50, 100), [5, 8, NEWLINE, 7, 10, NEWLINE, 13, 16, NEWLINE, 15, 18, NEWLINE]),
    ],
)
def test_padding_leaves_the_sequence_on_both_sides(size, expected):
    """Of a map of 4 x 4 features, two rows or two columns show the image."""
    layout = AnyRes(((56, 56),)).layout(size, 28, 4)
    assert layout.slots[:4].tolist() == [0, 1, 2, 3] and layout.features == 20
    assert layout.slots[4:].tolist() == expected


def test_the_base_view_alone_ends_with_one_newline():
    assert AnyRes(()).layout((30, 40), 28, 4).slots.tolist() == [0, 1, 2, 3, NEWLINE]
    assert AnyRes((), "spatial").layout((30, 40), 28, 4).slots.tolist() == [0, 1, 2, 3]
    assert AnyRes(()).views(Image.new("RGB", (30, 40)), 28).shape == (1, 28, 28, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (640, 1), (1, 20_000), (20_000, 1), (3000, 7)])
def test_extreme_shapes(size):
    anyres = AnyRes(PINPOINTS)
    views = anyres.views(Image.new("RGB", size, (10, 200, 30)), 56)
    assert (views[0] == (10, 200, 30)).all()
    assert (views[1:] == (10, 200, 30)).all(-1).any()  # something of it is in the tiles
    layout = anyres.layout(size, 56, 16)
    assert layout.features == 16 * len(views)
    assert layout.slots.max() < layout.features and len(layout.slots) >= 16


def test_of_equally_good_pinpoints_the_first_is_taken():
    """A small image keeps all its pixels in each, and wastes least in the smallest two."""
    assert AnyRes(PINPOINTS).best_resolution((30, 20)) == (56, 112)
    assert AnyRes(PINPOINTS[::-1]).best_resolution((30, 20)) == (112, 56)


# transformers, whose sizes are (height, width)


def their_pinpoints(pinpoints: tuple[tuple[int, int], ...]) -> list[list[int]]:
    return [[height, width] for width, height in pinpoints]


@pytest.mark.parametrize("size", [(100, 40), (37, 91), (56, 56), (9, 14), (333, 250), (260, 33)])
def test_views_are_those_of_transformers(size):
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    )
    processor = LlavaNextImageProcessor(
        size={"shortest_edge": 56},
        crop_size={"height": 56, "width": 56},
        image_grid_pinpoints=their_pinpoints(PINPOINTS),
        do_rescale=False,
        do_normalize=False,
    )
    theirs = processor(image)["pixel_values"][0]
    ours = AnyRes(PINPOINTS).views(image, 56)
    np.testing.assert_array_equal(ours.transpose(0, 3, 1, 2), theirs)


@pytest.mark.parametrize(
    ("size", "more"),
    [((640, 480), (0, 0)), ((301, 977), (0, 0)), ((55, 176), (0, 2)), ((88, 99), (2, 0))],
)
def test_transformers_rounds_what_the_original_truncates(size, more):
    """All but a few sizes come out the same."""
    anyres = AnyRes(((336, 672), (672, 672)))
    columns, rows = anyres.grid(size, 336)
    theirs = modeling_llava_next.unpad_image(torch.zeros(1, rows * 24, columns * 24), size[::-1])
    slots = anyres.layout(size, 336, 576).slots[576:]
    height = int((slots == NEWLINE).sum())
    width = len(slots) // height - 1
    assert theirs.shape[1:] == (height + more[0], width + more[1])
