"""Tiny random LLaVAs against what the original LLaVA computed with them."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.inference.programs import greedy
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava
from llava_jax.models.vision import VisionTower
from llava_jax.partition import flatten
from llava_jax.weights.dialects import DIALECTS
from llava_jax.weights.huggingface import load_llava, load_vision
from llava_jax.weights.layouts import unstack_layers
from tests.models.batches import IGNORE, IMAGE, labels, make_batch, mean_loss

pytestmark = pytest.mark.golden

# The float32 noise of the original itself is a third to a quarter of these.
LOGITS, FEATURES, GRADIENTS, LOSS = 1e-4, 3e-5, 3e-5, 1e-5


class Golden:
    """One of the original's models, loaded, beside what the original made of it."""

    def __init__(self, folder: Path, scan: bool):
        self.expected = np.load(folder / "golden.npz")
        self.tower_folder = folder.parent / "clip"
        self.config, params = load_llava(folder, vision_folder=self.tower_folder, scan_layers=scan)
        self.params: dict[str, Any] = {"params": jax.tree.map(jnp.asarray, params)}
        self.compute = Compute(scan_layers=scan)
        self.model = Llava(self.config, self.compute)
        self.logits = jax.jit(self.model.apply)
        mask = self.expected["attention_mask"]
        ids, wanted = self.expected["input_ids"], self.expected["labels"]
        self.rows = [row[seen].tolist() for row, seen in zip(ids, mask, strict=True)]
        self.learned = [row[seen] != IGNORE for row, seen in zip(wanted, mask, strict=True)]
        # The original gives a row of words alone an image of zeros, which nothing reads.
        counts = [row.count(IMAGE) for row in self.rows]
        read = np.repeat([count > 0 for count in counts], np.maximum(counts, 1))
        self.images = self.expected["images"].transpose(0, 2, 3, 1)[read]

    def batch(self, **options: Any) -> dict[str, jax.Array]:
        return make_batch(
            self.rows, self.config.image_tokens, self.images, learned=self.learned, **options
        )


@pytest.fixture(scope="module", params=["llava_mlp", "llava_gqa_linear"])
def golden(request: pytest.FixtureRequest, golden_dir: Path) -> Golden:
    return Golden(golden_dir / "tiny_model" / request.param, scan=request.param != "llava_mlp")


loss_of = jax.jit(mean_loss)


def close(ours: Any, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(ours, expected, atol=tolerance, rtol=0)


def test_features_and_what_the_projector_makes_of_them(golden: Golden):
    images = jnp.asarray(golden.expected["images"].transpose(0, 2, 3, 1))

    @jax.jit
    def run(params):
        features = golden.model.apply(params, images, method=Llava.encode_images)
        batch = {"features": features[None]}
        return features, golden.model.apply(params, batch, method=Llava.image_tokens)

    features, tokens = run(golden.params)
    close(features, golden.expected["vision_features"], FEATURES)
    close(
        tokens.reshape(golden.expected["projector_out"].shape),
        golden.expected["projector_out"],
        LOGITS,
    )


def test_every_layer_of_the_tower(golden: Golden):
    """The embeddings and each block's output, class token first; blocks 1, -1 and all of -2."""
    image = jnp.asarray(golden.expected["images"][:1].transpose(0, 2, 3, 1))
    states = golden.expected["vision_hidden_states_image0"]
    config = dataclasses.replace(
        golden.config.vision, feature_layers=tuple(range(len(states))), feature_select="full"
    )
    config, params = load_vision(golden.tower_folder, config=config)
    tower = VisionTower(config, Compute())
    features = jax.jit(tower.apply)({"params": params}, image)[0]
    ours = np.split(np.asarray(features), len(states), axis=-1)
    close(ours, states, FEATURES)
    close(ours[-1], golden.expected["vision_last_hidden_state_image0"], FEATURES)
    close(ours[1][1:], golden.expected["vision_features_layer1_patch_image0"], FEATURES)
    close(ours[-1][1:], golden.expected["vision_features_layer-1_patch_image0"], FEATURES)
    close(ours[-2], golden.expected["vision_features_layer-2_cls_patch_image0"], FEATURES)


def test_the_sequence_and_its_logits(golden: Golden):
    """Images inside, first, last, two, adjacent and none, in one padded batch."""
    batch = golden.batch()
    real = golden.expected["spliced_attention_mask"]
    np.testing.assert_array_equal(batch["segments"] > 0, real)
    np.testing.assert_array_equal(batch["lengths"], golden.expected["spliced_lengths"])
    np.testing.assert_array_equal(labels(batch), golden.expected["spliced_labels"])
    embed = jax.jit(lambda params: golden.model.apply(params, batch, method=Llava.embed))
    close(np.asarray(embed(golden.params))[real], golden.expected["spliced_embeds"][real], LOGITS)
    logits = np.asarray(golden.logits(golden.params, batch))
    close(logits[real], golden.expected["logits"][real], LOGITS)
    close(logits[0, : real[0].sum()], golden.expected["row0_alone_logits"], LOGITS)
    text = int(golden.expected["text_row_index"])
    alone = golden.expected["text_row_without_images_logits"]
    close(logits[text, : real[text].sum()], alone, LOGITS)
    np.testing.assert_allclose(loss_of(logits, batch), golden.expected["loss"], rtol=LOSS)


def test_gradients(golden: Golden):
    """Tensors and norms that were recorded, and the norm of everything but the tower's."""
    batch = golden.batch()

    def loss(trained, tower):
        params = {"params": {**trained, "vision": tower}}
        return mean_loss(golden.model.apply(params, batch), batch)

    trained = dict(golden.params["params"])
    tower = trained.pop("vision")
    tree = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(trained, tower))
    gradients = flatten(unstack_layers(tree))
    original = next(dialect for dialect in DIALECTS if dialect.name == "original")
    names = original.table(golden.config).names
    theirs = {names[path][0]: names[path][1].theirs(g) for path, g in gradients.items()}
    compared = 0
    for key in golden.expected.files:
        kind, _, name = key.partition("/")
        if kind == "grad":
            expected = golden.expected[key]
            close(theirs[name], expected, GRADIENTS * np.abs(expected).max())
        elif kind == "grad_norm":
            norm = np.linalg.norm(theirs[name])
            np.testing.assert_allclose(norm, golden.expected[key], rtol=GRADIENTS)
        else:
            continue
        compared += 1
    assert compared > 6
    norm = np.sqrt(sum((g**2).sum() for g in theirs.values()))
    expected = golden.expected["grad_norm_all_but_tower"]
    np.testing.assert_allclose(norm, expected, rtol=GRADIENTS)


def test_left_padding(golden: Golden):
    batch = golden.batch(left=True)
    np.testing.assert_array_equal(batch["segments"] > 0, golden.expected["left_attention_mask"])
    np.testing.assert_array_equal(labels(batch), golden.expected["left_labels"])
    logits = golden.logits(golden.params, batch)
    close(logits[:, -1], golden.expected["left_last_logits"], LOGITS)
    np.testing.assert_allclose(loss_of(logits, batch), golden.expected["left_loss"], rtol=LOSS)


def test_a_cut_after_the_images_were_put_in(golden: Golden):
    batch = golden.batch(length=24)
    expected = golden.expected["truncated24_attention_mask"]
    np.testing.assert_array_equal(batch["segments"] > 0, expected)
    np.testing.assert_array_equal(labels(batch), golden.expected["truncated24_labels"])
    loss = loss_of(golden.logits(golden.params, batch), batch)
    np.testing.assert_allclose(loss, golden.expected["truncated24_loss"], rtol=LOSS)


def test_greedy_generation(golden: Golden):
    """All rows in one batch, against the original's rows one by one."""
    count = len(golden.expected["generate/0/top2_margin"])
    batch = golden.batch()
    logits, _ = jax.jit(partial(golden.model.apply, method=Llava.prefill))(golden.params, batch)
    for row, first in enumerate(np.asarray(logits)):
        close(first, golden.expected[f"generate/{row}/first_logits"], LOGITS)
    tokens = greedy(golden.config, golden.compute, golden.params["params"], batch, count)
    for row, ours in enumerate(np.asarray(tokens)):
        # The original's `generate` puts a BOS before what it generated.
        np.testing.assert_array_equal(ours, golden.expected[f"generate/{row}/ids"][1:])
