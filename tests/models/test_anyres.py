"""Images in tiles: the original's tiny model, and LlavaNext of transformers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

from llava_jax.anyres import AnyRes, Merge
from llava_jax.errors import UserError
from llava_jax.inference.programs import greedy
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, abstract_params, merge_images
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.sizes import LANGUAGE, VISION
from llava_jax.partition import flatten
from llava_jax.text.encode import NEWLINE
from llava_jax.weights.dialects import recognise
from llava_jax.weights.hf_configs import llava_config
from llava_jax.weights.huggingface import load_llava
from tests.models.batches import IGNORE, IMAGE, labels, make_batch, mean_loss
from tests.models.from_torch import parameters, randomized, tiny_configs

# As in test_golden.py: three to four times the float32 noise of the original itself.
LOGITS, GRADIENTS, LOSS = 1e-4, 3e-5, 1e-5


def tiled_batch(
    config: LlavaConfig, rows: list[list[int]], pictures: list[Image.Image], **options: Any
) -> dict[str, Any]:
    """Rows of ids with IMAGE in them, and the pictures that stand there."""
    assert config.anyres is not None
    side = config.vision.image_size
    views = [config.anyres.views(picture, side) for picture in pictures]
    layouts = [config.layout(picture.size) for picture in pictures]
    pixels = np.concatenate(views)
    return make_batch(rows, config.image_tokens, pixels, layouts=layouts, **options)


class Golden:
    """The original's model with features merged in one way."""

    def __init__(self, source: Path, folder: Path, merge: Merge):
        shutil.copytree(source, folder)
        raw = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(raw | {"mm_patch_merge_type": merge}))
        self.config, params = load_llava(folder, vision_folder=source.parent / "clip")
        self.params: dict[str, Any] = jax.tree.map(jnp.asarray, params)
        self.model = Llava(self.config, Compute())
        self.merge, self.recorded = merge, np.load(source / "golden.npz")
        mask = self.recorded["attention_mask"]
        ids, wanted = self.recorded["input_ids"], self.recorded["labels"]
        self.rows = [row[seen].tolist() for row, seen in zip(ids, mask, strict=True)]
        self.learned = [row[seen] != IGNORE for row, seen in zip(wanted, mask, strict=True)]
        self.pictures = [Image.fromarray(self.recorded[f"source_image/{i}"]) for i in range(3)]
        self.batch = tiled_batch(self.config, self.rows, self.pictures, learned=self.learned)

    def expected(self, name: str) -> np.ndarray:
        return self.recorded[f"{self.merge}/{name}"]


@pytest.fixture(scope="module", params=["spatial_unpad", "spatial", "flat"])
def golden(
    request: pytest.FixtureRequest, golden_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Golden:
    folder = tmp_path_factory.mktemp(request.param) / "llava"
    return Golden(golden_dir / "tiny_model" / "llava_anyres", folder, request.param)


@pytest.mark.golden
def test_views_of_the_original(golden: Golden):
    vision = golden.config.vision
    for i, picture in enumerate(golden.pictures):
        assert golden.config.anyres is not None
        views = golden.config.anyres.views(picture, vision.image_size)
        normalised = (views / 255 - np.array(vision.mean)) / np.array(vision.std)
        expected = golden.recorded[f"views/{i}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(normalised, expected, atol=1e-6, rtol=0)


@pytest.mark.golden
def test_merged_features_of_the_original(golden: Golden):
    """The image alone in its row, so that nothing but its features is embedded."""
    embed = jax.jit(lambda params, batch: golden.model.apply(params, batch, method=Llava.embed))
    for i, picture in enumerate(golden.pictures):
        batch = tiled_batch(golden.config, [[IMAGE]], [picture], learned=[[False]])
        (ours,) = embed({"params": golden.params}, batch)
        expected = golden.expected(f"merged_features/{i}")
        np.testing.assert_allclose(ours, expected, atol=LOGITS, rtol=0)


@pytest.mark.golden
def test_logits_and_loss_of_the_original(golden: Golden):
    np.testing.assert_array_equal(golden.batch["lengths"], golden.expected("spliced_lengths"))
    np.testing.assert_array_equal(labels(golden.batch), golden.expected("spliced_labels"))
    logits = np.asarray(jax.jit(golden.model.apply)({"params": golden.params}, golden.batch))
    last = logits[np.arange(3), np.asarray(golden.batch["lengths"]) - 1]
    np.testing.assert_allclose(last, golden.expected("last_logits"), atol=LOGITS, rtol=0)
    loss = mean_loss(jnp.asarray(logits), golden.batch)
    np.testing.assert_allclose(loss, golden.expected("loss"), rtol=LOSS)
    if golden.merge == "spatial_unpad":
        first = golden.expected("logits_row0")
        np.testing.assert_allclose(logits[0, : len(first)], first, atol=LOGITS, rtol=0)


@pytest.mark.golden
def test_the_newline_is_a_parameter_only_where_rows_end_with_it(golden: Golden):
    assert ("image_newline" in golden.params) == (golden.merge == "spatial_unpad")


@pytest.fixture(scope="module")
def unpadding(golden_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = tmp_path_factory.mktemp("unpadding") / "llava"
    return Golden(golden_dir / "tiny_model" / "llava_anyres", folder, "spatial_unpad")


@pytest.mark.golden
def test_a_single_view_of_the_original(unpadding: Golden):
    config = replace(unpadding.config, anyres=AnyRes(()))
    batch = tiled_batch(config, [[IMAGE]], unpadding.pictures[:1], learned=[[False]])
    embed = jax.jit(
        lambda params: Llava(config, Compute()).apply(params, batch, method=Llava.embed)
    )
    (ours,) = embed({"params": unpadding.params})
    expected = unpadding.expected("merged_features_single_view")
    np.testing.assert_allclose(ours, expected, atol=LOGITS, rtol=0)


@pytest.mark.golden
def test_gradients_of_the_original(unpadding: Golden):
    names = {"image_newline": "model.image_newline"}
    for i in range(2):
        names[f"projector/dense_{i}/kernel"] = f"model.mm_projector.{2 * i}.weight"
        names[f"projector/dense_{i}/bias"] = f"model.mm_projector.{2 * i}.bias"
    trained = {name: unpadding.params[name] for name in ("image_newline", "projector")}

    def loss(trained: dict[str, Any], params: dict[str, Any]) -> jax.Array:
        logits = unpadding.model.apply({"params": params | trained}, unpadding.batch)
        return mean_loss(logits, unpadding.batch)

    gradients = flatten(jax.jit(jax.grad(loss))(trained, unpadding.params))
    assert gradients.keys() == names.keys()
    for path, gradient in gradients.items():
        expected = unpadding.expected(f"grad/{names[path]}")
        ours = gradient.T if path.endswith("kernel") else gradient
        tolerance = GRADIENTS * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, atol=tolerance, rtol=0)


@pytest.mark.golden
def test_greedy_tokens_of_the_original(unpadding: Golden):
    """The first recorded id is a dummy that the original's `generate` puts there."""
    expected = [unpadding.expected(f"generate/{row}/ids")[1:].tolist() for row in range(3)]
    model = (unpadding.config, Compute(), unpadding.params)
    assert greedy(*model, unpadding.batch, len(expected[0])).tolist() == expected


# transformers

# (height, width): Hugging Face's way round.
PINPOINTS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
# Wide, tall, tiny and square; ids 3..94; 95 is their image token.
SIZES = [(70, 30), (25, 90), (9, 14), (60, 60)]
ROWS = [
    [1, 7, 30, IMAGE, 12, 55, 81, 9],
    [1, IMAGE, 5, 6, IMAGE, 77, 8],
    [IMAGE, 40, 41, 42, 43],
    [1, 60, 61, 62, 63, 64, 65],
]
THEIR_IMAGE, NEW = 95, 8


def pictures(seed: int, sizes: list[tuple[int, int]]) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]


class Pair:
    """A torch LlavaNext and ours with its weights."""

    def __init__(self) -> None:
        vision, text = tiny_configs()
        config = LlavaNextConfig(
            vision, text, image_token_index=THEIR_IMAGE, image_grid_pinpoints=PINPOINTS
        )
        self.theirs = randomized(LlavaNextForConditionalGeneration(config))
        self.config = llava_config(self.theirs.config.to_dict(), {})
        tensors = self.theirs.state_dict()
        table = recognise(tensors, "the torch model").table(self.config)
        self.params = parameters(tensors, table)
        self.model = Llava(self.config, Compute())

    def inputs(self, batch: dict[str, Any], images: list[Image.Image]) -> dict[str, Any]:
        """The batch as transformers wants it, from our own views."""
        anyres, vision = self.config.anyres, self.config.vision
        assert anyres is not None
        views = [anyres.views(image, vision.image_size) for image in images]
        pixels = np.zeros((len(views), max(map(len, views), default=0), 3, 28, 28), np.float32)
        for place, some in enumerate(views):
            normalised = (some / 255 - np.array(vision.mean)) / np.array(vision.std)
            pixels[place, : len(some)] = normalised.transpose(0, 3, 1, 2)
        slots = np.asarray(batch["image_slots"])
        inputs = {
            "input_ids": torch.tensor(np.where(slots == -1, batch["tokens"], THEIR_IMAGE)).long(),
            "attention_mask": torch.tensor(np.asarray(batch["segments"])).long(),
        }
        if images:
            inputs["pixel_values"] = torch.tensor(pixels)
            inputs["image_sizes"] = torch.tensor([image.size[::-1] for image in images])
        return inputs


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


def test_logits_are_those_of_llava_next(pair: Pair):
    """Images of four shapes; two in one row, none in another."""
    images = pictures(0, SIZES)
    batch = tiled_batch(pair.config, ROWS, images)
    ours = np.asarray(jax.jit(pair.model.apply)({"params": pair.params}, batch))
    with torch.no_grad():
        theirs = pair.theirs(**pair.inputs(batch, images)).logits.numpy()
    real = np.asarray(batch["segments"]) > 0
    assert (np.asarray(batch["image_slots"]) == NEWLINE).sum() > 8
    np.testing.assert_allclose(ours[real], theirs[real], atol=1e-4, rtol=0)


def test_greedy_tokens_are_those_of_llava_next(pair: Pair):
    images = pictures(0, SIZES)
    batch = tiled_batch(pair.config, ROWS, images)
    model = (pair.config, Compute(), pair.params)
    ours = greedy(*model, batch, NEW).tolist()
    remaining = iter(images)
    for row, words in enumerate(ROWS):
        mine = [next(remaining) for _ in range(words.count(IMAGE))]
        alone = (
            tiled_batch(pair.config, [words], mine)
            if mine
            else make_batch([words], 16, np.zeros((1, 28, 28, 3), np.uint8))
        )
        theirs = pair.theirs.generate(
            **pair.inputs(alone, mine),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert ours[row] == theirs[0, -NEW:].tolist()


def test_a_folder_of_llava_next(pair: Pair, tmp_path: Path):
    pair.theirs.save_pretrained(tmp_path)
    config, params = load_llava(tmp_path)
    assert config == pair.config
    np.testing.assert_array_equal(params["image_newline"], pair.params["image_newline"])


# our own model


def test_one_program_serves_images_of_any_size(pair: Pair):
    apply = jax.jit(pair.model.apply)
    for seed, size in enumerate([(70, 30), (25, 90), (1, 1), (500, 3), (60, 60)]):
        batch = tiled_batch(pair.config, ROWS[:1], pictures(seed, [size]), slots=5, length=112)
        assert np.isfinite(apply({"params": pair.params}, batch)).all()
    assert apply._cache_size() == 1


def test_the_newline_stands_only_where_a_row_ends():
    words, tokens = jnp.zeros((1, 4, 1)), jnp.array([[[1.0], [2.0]]])
    slots = jnp.array([[1, NEWLINE, -1, 0]])
    merged = merge_images(words, tokens, slots, jnp.array([5.0]))
    np.testing.assert_array_equal(merged[0, :, 0], [2, 5, 0, 1])


def test_the_newline_begins_as_the_original_s():
    language = replace(LANGUAGE["tiny_llama"], depth=1)
    config = LlavaConfig(VISION["tiny_clip"], ProjectorConfig(), language, AnyRes(((56, 112),)))
    newline = Llava(config, Compute()).init(
        jax.random.key(0),
        jnp.zeros((1, 1), jnp.int32),
        method=lambda model, tokens: model.language.embed_tokens(tokens),
    )["params"]["image_newline"]
    assert newline.shape == (64,) and newline.dtype == jnp.float32
    assert 0.5 < np.std(newline) * 64**0.5 < 1.5
    flat = replace(config, anyres=AnyRes(((56, 112),), "flat"))
    assert "image_newline" not in abstract_params(Llava(flat, Compute()))


def test_tiles_that_a_tower_cannot_take():
    vision, rest = VISION["tiny_clip"], (ProjectorConfig(), LANGUAGE["tiny_llama"])
    for sides in ((56, 100), (0, 56)):
        with pytest.raises(UserError, match=r"tiles of 56 pixels.*multiples"):
            LlavaConfig(vision, *rest, AnyRes((sides,)))
    whole = replace(vision, feature_select="full")
    with pytest.raises(UserError, match=r"'spatial' joins patches .* class token"):
        LlavaConfig(whole, *rest, AnyRes(((56, 112),), "spatial"))
    config = LlavaConfig(whole, *rest, AnyRes(((56, 112),), "flat"))
    assert config.layout((20, 30)).features == 3 * 17
