"""LLaVA against LlavaForConditionalGeneration of transformers, and against itself."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import LlavaConfig as TheirConfig
from transformers import LlavaForConditionalGeneration

from llava_jax.errors import UserError
from llava_jax.inference.programs import greedy
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, merge_images
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.sizes import LANGUAGE, VISION
from llava_jax.weights.dialects import recognise
from llava_jax.weights.hf_configs import llava_config
from tests.models.batches import IMAGE, labels, make_batch, mean_loss
from tests.models.from_torch import gradients, parameters, randomized, tiny_configs

# One image inside; two images; an image first; words only. Ids 3..94; 95 is their image token.
ROWS = [
    [1, 7, 30, IMAGE, 12, 55, 81, 9],
    [1, IMAGE, 5, 6, IMAGE, 77, 8],
    [IMAGE, 40, 41, 42, 43],
    [1, 60, 61, 62, 63, 64, 65],
]
THEIR_IMAGE = 95
NEW = 8
IMAGES = np.random.default_rng(0).normal(size=(4, 28, 28, 3)).astype(np.float32)


class Pair:
    """A torch LLaVA and ours with its weights."""

    def __init__(self, layers: int | list[int], select: str = "default", scan: bool = False):
        vision, text = tiny_configs()
        config = TheirConfig(
            vision,
            text,
            image_token_index=THEIR_IMAGE,
            vision_feature_layer=layers,
            vision_feature_select_strategy=select,
        )
        self.theirs = randomized(LlavaForConditionalGeneration(config))
        self.config = llava_config(self.theirs.config.to_dict(), {})
        self.compute = Compute(scan_layers=scan)
        self.model = Llava(self.config, self.compute)
        self.params = self.ours(self.theirs.state_dict())
        self.logits = jax.jit(self.model.apply)

    def ours(self, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        table = recognise(tensors, "the torch model").table(self.config)
        return {"params": parameters(tensors, table, self.compute.scan_layers)}

    def batch(self, rows: Sequence[Sequence[int]], **options: Any) -> dict[str, Any]:
        return make_batch(rows, self.config.image_tokens, IMAGES, **options)

    def inputs(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The same batch as transformers wants it."""
        tokens = np.where(batch["image_slots"] >= 0, THEIR_IMAGE, batch["tokens"])
        inputs = {
            "input_ids": torch.tensor(tokens, dtype=torch.long),
            "attention_mask": torch.tensor(np.array(batch["segments"]), dtype=torch.long),
        }
        count = (tokens == THEIR_IMAGE).sum() // self.config.image_tokens
        if count:
            inputs["pixel_values"] = torch.tensor(IMAGES[:count].transpose(0, 3, 1, 2))
        return inputs


VARIANTS = {
    "layer -2": (-2, "default", False),
    "layer -1, full": (-1, "full", True),
    "layers -1 and -2": ([-1, -2], "default", False),
}


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair(*VARIANTS["layer -2"])


@pytest.fixture(scope="module", params=VARIANTS)
def any_pair(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    return pair if request.param == "layer -2" else Pair(*VARIANTS[request.param])


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_logits_of_padded_rows(any_pair: Pair, left: bool):
    """One image, two images, image first and no image at all, in one batch."""
    batch = any_pair.batch(ROWS, left=left)
    ours = np.asarray(any_pair.logits(any_pair.params, batch))
    with torch.no_grad():
        theirs = any_pair.theirs(**any_pair.inputs(batch)).logits.numpy()
    real = np.asarray(batch["segments"]) > 0
    np.testing.assert_allclose(ours[real], theirs[real], atol=1e-4, rtol=0)


def test_loss_and_gradients(pair: Pair):
    """Of the projector and of every weight of the decoder."""
    learned = [[i % 3 == 0 and token != IMAGE for i, token in enumerate(row)] for row in ROWS]
    batch = pair.batch(ROWS, learned=learned)

    def loss(trained, tower):
        params = {"params": {**trained, "vision": tower}}
        return mean_loss(pair.model.apply(params, batch), batch)

    trained = dict(pair.params["params"])
    tower = trained.pop("vision")
    ours, ours_gradients = jax.jit(jax.value_and_grad(loss))(trained, tower)
    wanted = torch.tensor(labels(batch), dtype=torch.long)
    theirs = pair.theirs(**pair.inputs(batch), labels=wanted).loss
    np.testing.assert_allclose(ours, theirs.detach(), atol=1e-5, rtol=0)
    pair.theirs.zero_grad()
    theirs.backward()
    tensors = pair.theirs.state_dict() | gradients(pair.theirs)
    expected = pair.ours(tensors)["params"]
    del expected["vision"]
    assert jax.tree.structure(ours_gradients) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(ours_gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


def test_greedy_tokens(pair: Pair):
    """A batch of different lengths gives what transformers gives each row alone."""
    batch = pair.batch(ROWS)
    ours = greedy(pair.config, pair.compute, pair.params["params"], batch, NEW)
    first = 0
    for row, words in enumerate(ROWS):
        count = words.count(IMAGE)
        alone = pair.inputs(pair.batch([words]))
        if count:
            pixels = IMAGES[first : first + count].transpose(0, 3, 1, 2)
            alone["pixel_values"] = torch.tensor(pixels)
        first += count
        theirs = pair.theirs.generate(
            **alone, max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        np.testing.assert_array_equal(ours[row], theirs[0, -NEW:])


def test_a_row_does_not_depend_on_its_company(pair: Pair):
    """Each row with three rows of other words and images beside it."""
    batch = pair.batch(ROWS, slots=2)
    together = np.asarray(pair.logits(pair.params, batch))
    for row in range(4):
        other = jax.tree.map(lambda a: jnp.roll(a, 1, axis=0), batch)
        company = jax.tree.map(lambda a, b, row=row: b.at[row].set(a[row]), batch, other)
        alone = np.asarray(pair.logits(pair.params, company))[row]
        np.testing.assert_allclose(alone, together[row], atol=1e-6, rtol=0)


def test_images_change_their_own_row_and_words_before_an_image_never(pair: Pair):
    batch = pair.batch(ROWS, slots=2)
    before = np.asarray(pair.logits(pair.params, batch))
    changed = batch | {"images": batch["images"].at[:, -1].add(1.0)}
    after = np.asarray(pair.logits(pair.params, changed))
    moved = np.abs(after - before).max(-1) > 1e-3
    image = pair.config.image_tokens
    # Only the second row reads its second slot, whose tokens begin after 1 + P + 2 others.
    assert not moved[[0, 2, 3]].any()
    np.testing.assert_array_equal(moved[1], (np.arange(moved.shape[1]) >= 3 + image))


def test_packed_rows_are_as_if_unpacked(pair: Pair):
    """All four samples in one row of four image slots, in another order."""
    order = [3, 1, 0, 2]
    per_image = pair.config.image_tokens
    apart = pair.batch(ROWS)
    lengths = np.asarray(apart["lengths"])
    first_slot = np.array([0, 1, 3, 4]) * per_image
    packed: dict[str, list] = {name: [] for name in ("tokens", "positions", "image_slots")}
    for row in order:
        for name, values in packed.items():
            part = np.asarray(apart[name])[row, : lengths[row]]
            shift = first_slot[row] if name == "image_slots" else 0
            values.append(np.where(part < 0, part, part + shift))
    one_row = {name: np.concatenate(values)[None] for name, values in packed.items()}
    one_row["segments"] = np.repeat(np.arange(1, 5), lengths[order])[None].astype(np.int32)
    one_row["images"] = IMAGES[None]
    together = pair.logits(pair.params, jax.tree.map(jnp.asarray, one_row))[0]
    expected = np.asarray(pair.logits(pair.params, apart))
    expected = np.concatenate([expected[row, : lengths[row]] for row in order])
    np.testing.assert_allclose(together, expected, atol=2e-5, rtol=0)


def test_features_made_before_stand_for_images(pair: Pair):
    batch = pair.batch(ROWS, slots=2)
    images = batch.pop("images")
    encode = jax.jit(lambda p, x: pair.model.apply(p, x, method=Llava.encode_images))
    features = encode(pair.params, images.reshape(-1, *images.shape[2:]))
    cached = batch | {"features": features.reshape(4, 2, *features.shape[1:])}
    np.testing.assert_allclose(
        pair.logits(pair.params, cached),
        pair.logits(pair.params, batch | {"images": images}),
        atol=1e-5,
        rtol=0,
    )


def test_the_merge_gathers_inside_each_row():
    words = jnp.zeros((2, 3, 1))
    image_tokens = jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    slots = jnp.array([[1, -1, 0], [0, 1, -1]])
    merged = merge_images(words, image_tokens, slots)
    np.testing.assert_array_equal(merged[..., 0], [[2, 0, 1], [3, 4, 0]])


def test_merged_patches_take_a_quarter_of_the_positions():
    config = LlavaConfig(
        VISION["tiny_clip"], ProjectorConfig("linear", merge=2), LANGUAGE["tiny_llama"]
    )
    assert config.image_tokens == 4
    batch = make_batch([[1, IMAGE, 5]], 4, np.zeros((1, 56, 56, 3), np.uint8))
    assert batch["tokens"].shape == (1, 6)
    tokens, variables = jax.eval_shape(
        lambda: Llava(config, Compute()).init_with_output(
            jax.random.key(0), batch, method=Llava.image_tokens
        )
    )
    assert tokens.shape == (1, 4, 64)
    assert variables["params"]["projector"]["dense_0"]["kernel"].shape == (4 * 64, 64)
    with pytest.raises(UserError, match="would merge a class token"):
        LlavaConfig(VISION["tiny_clip"], ProjectorConfig(merge=3), LANGUAGE["tiny_llama"])
