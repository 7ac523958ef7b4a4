import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from llava_jax import partition
from llava_jax.config import Model, Optimizer
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, init_params
from llava_jax.models.sizes import llava_config
from llava_jax.training.optimizer import make_optimizer
from llava_jax.training.step import State, init_state, make_step, to_compute

CONFIG = llava_config(Model(vision="tiny_clip", language="tiny_llama"))
ROWS, LENGTH = 4, 44  # 176 tokens: the size of nothing else in the model
STAGE_1 = ["projector/.*"]
STAGE_2 = ["projector/.*", "language/.*"]


def make_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    slots = np.full((ROWS, LENGTH), -1)
    slots[:, 3 : 3 + CONFIG.image_tokens] = np.arange(CONFIG.image_tokens)
    weights = (rng.random((ROWS, LENGTH)) < [[0.2], [0.5], [0.3], [0.1]]).astype(np.float32)
    weights[:, : 4 + CONFIG.image_tokens] = 0
    size = CONFIG.vision.image_size
    batch = {
        "tokens": rng.integers(0, 512, (ROWS, LENGTH)),
        "positions": np.tile(np.arange(LENGTH), (ROWS, 1)),
        "segments": np.ones((ROWS, LENGTH), np.int32),
        "loss_weights": weights,
        "image_slots": slots,
        "images": rng.integers(0, 255, (ROWS, 1, size, size, 3)).astype(np.uint8),
    }
    return {name: a.astype(np.int32) if a.dtype == np.int64 else a for name, a in batch.items()}


BATCH = jax.tree.map(jnp.asarray, make_batch())


def run(
    trainable: list[str], steps: int = 1, compute: Compute | None = None, **options: Any
) -> tuple[State, Any, Any, Any]:
    """-> (state, metrics, frozen before, frozen after) of some steps on the same batch."""
    model = Llava(CONFIG, compute or Compute())
    chosen, frozen = partition.split(init_params(model, 0), trainable)
    frozen = to_compute(frozen, model.compute.dtype)
    optimizer = make_optimizer(Optimizer(learning_rate=1e-2, warmup=0.0), chosen, 100)
    step = jax.jit(make_step(model, optimizer, **options))
    state = init_state(chosen, optimizer)
    before = jax.tree.map(np.asarray, frozen)
    for _ in range(steps):
        state, metrics = step(state, frozen, BATCH)
    return state, metrics, before, frozen


def reference_loss(params: Any) -> jax.Array:
    logits = Llava(CONFIG, Compute()).apply({"params": params}, BATCH)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], BATCH["tokens"][:, 1:])
    weights = BATCH["loss_weights"][:, 1:]
    return (losses * weights).sum() / weights.sum()


@pytest.mark.parametrize("trainable", [STAGE_1, STAGE_2])
def test_loss_and_gradient_are_those_of_the_whole_model(trainable: list[str]) -> None:
    params = init_params(Llava(CONFIG, Compute()), 0)
    loss, grads = jax.value_and_grad(reference_loss)(params)
    _, metrics, _, _ = run(trainable)
    np.testing.assert_allclose(metrics.loss, loss, rtol=1e-6)
    wanted = optax.tree.norm(partition.split(grads, trainable)[0])
    np.testing.assert_allclose(metrics.grad_norm, wanted, rtol=1e-5)


@pytest.mark.parametrize("trainable", [STAGE_1, STAGE_2])
def test_frozen_leaves_stay_bit_equal_and_have_no_optimizer(trainable: list[str]) -> None:
    state, metrics, before, after = run(trainable, steps=5)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, after))
    assert metrics.loss < run(trainable)[1].loss - 0.1
    trained = {path.split("/")[0] for path in partition.flatten(state.params)}
    assert trained == {pattern.split("/")[0] for pattern in trainable}
    moments = sum(leaf.size for leaf in jax.tree.leaves(state.optimizer) if leaf.ndim)
    assert moments == 2 * sum(leaf.size for leaf in jax.tree.leaves(state.params))


def test_accumulated_micro_batches_equal_the_big_batch() -> None:
    """Their numbers of supervised tokens differ, so a mean of means would not."""
    whole = run(STAGE_2, steps=3)[1]
    for options in ({"accumulate": 2}, {"accumulate": 4}, {"accumulate": 2, "targets": 20}):
        parts = run(STAGE_2, steps=3, **options)[1]
        np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-5)
        np.testing.assert_allclose(parts.grad_norm, whole.grad_norm, rtol=1e-3)
    means = run(STAGE_2, groups=4)[1]
    assert abs(means.loss - run(STAGE_2)[1].loss) > 1e-3


def test_bfloat16_keeps_float32_masters() -> None:
    compute = Compute(jnp.bfloat16)
    state, metrics, before, _ = run(STAGE_1, compute=compute)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
    kernels = [v for path, v in partition.flatten(before).items() if path.endswith("kernel")]
    assert all(leaf.dtype == jnp.bfloat16 for leaf in kernels)
    np.testing.assert_allclose(metrics.loss, run(STAGE_1)[1].loss, rtol=1e-2)


def products(trainable: list[str], scan_layers: bool) -> list[tuple[tuple[int, ...], ...]]:
    """Result shapes of all matrix products in the compiled step."""
    model = Llava(CONFIG, Compute(scan_layers=scan_layers))
    chosen, frozen = partition.split(init_params(model, 0), trainable)
    optimizer = make_optimizer(Optimizer(clip=1.0, weight_decay=0.1), chosen, 100)
    state = init_state(chosen, optimizer)
    text = jax.jit(make_step(model, optimizer)).lower(state, frozen, BATCH).compile().as_text()
    found = re.findall(r"= \(?f32\[([\d,]+)\][^=]* (?:dot|custom-call)\(", text)
    return [tuple(map(int, shape.split(","))) for shape in found]


@pytest.mark.parametrize("scan_layers", [False, True])
def test_stage_1_computes_no_weight_gradient_of_the_decoder(scan_layers: bool) -> None:
    """In the compiled program no product has the shape of a decoder's MLP kernel."""
    width, mlp = CONFIG.language.width, CONFIG.language.mlp_width
    kernels = {(width, mlp), (mlp, width)}
    assert not kernels & set(products(STAGE_1, scan_layers))
    assert kernels & set(products(STAGE_2, scan_layers))
