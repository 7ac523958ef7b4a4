import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from llava_jax.models.compute import Compute
from llava_jax.training import loss
from llava_jax.training.loss import (
    cross_entropy,
    next_token_weights,
    normalize_weights,
    select_targets,
)

ROWS, PLACES, WIDTH, VOCAB = 3, 400, 32, 64  # more places than a chunk holds
RNG = np.random.default_rng(0)
HIDDEN = jnp.asarray(RNG.normal(size=(ROWS, PLACES, WIDTH)), jnp.float32)
HEAD = jnp.asarray(RNG.normal(size=(WIDTH, VOCAB)) / 4, jnp.float32)
TOKENS = jnp.asarray(RNG.integers(0, VOCAB, (ROWS, PLACES)))
WEIGHTS = jnp.asarray(RNG.random((ROWS, PLACES)) * (RNG.random((ROWS, PLACES)) < 0.4), jnp.float32)


def reference(hidden: jax.Array, head: jax.Array) -> jax.Array:
    logits = jnp.einsum("bkd,dv->bkv", hidden, head, precision="highest")
    return (optax.softmax_cross_entropy_with_integer_labels(logits, TOKENS) * WEIGHTS).sum()


def ours(hidden: jax.Array, head: jax.Array, tied: bool, dtype=jnp.float32) -> jax.Array:
    return cross_entropy(
        hidden,
        head.T if tied else head,
        TOKENS,
        WEIGHTS,
        tied=tied,
        compute=Compute(dtype),
    )


@pytest.mark.parametrize("tied", [False, True])
def test_equals_the_plain_form_with_its_gradients(tied: bool) -> None:
    wanted, wanted_grads = jax.value_and_grad(reference, (0, 1))(HIDDEN, HEAD)
    total, grads = jax.value_and_grad(lambda h, w: 3 * ours(h, w, tied), (0, 1))(HIDDEN, HEAD)
    np.testing.assert_allclose(total, 3 * wanted, rtol=1e-5)
    for mine, theirs in zip(grads, wanted_grads, strict=True):
        np.testing.assert_allclose(mine, 3 * theirs, atol=3e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_parts_of_the_vocabulary_equal_the_whole(tied: bool, monkeypatch) -> None:
    """Labels fall in every part; the last part is narrower."""
    monkeypatch.setattr(loss, "_CPU_VOCABULARY", 24)
    wanted, wanted_grads = jax.value_and_grad(reference, (0, 1))(HIDDEN, HEAD)
    total, grads = jax.value_and_grad(lambda h, w: ours(h, w, tied), (0, 1))(HIDDEN, HEAD)
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    for mine, theirs in zip(grads, wanted_grads, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_bfloat16_is_close() -> None:
    wanted, wanted_grad = jax.value_and_grad(reference, 1)(HIDDEN, HEAD)
    total, grad = jax.value_and_grad(lambda h, w: ours(h, w, True, jnp.bfloat16), 1)(HIDDEN, HEAD)
    np.testing.assert_allclose(total, wanted, rtol=1e-2)
    assert jnp.linalg.norm(grad - wanted_grad) < 0.02 * jnp.linalg.norm(wanted_grad)


def test_a_frozen_head_costs_no_gradient() -> None:
    def products(wanted: tuple[int, ...]) -> int:
        gradient = jax.jit(jax.grad(lambda h, w: ours(h, w, False), wanted))
        return gradient.lower(HIDDEN, HEAD).as_text().count("dot_general")

    assert products((0,)) == 2  # logits, and the gradient that flows on
    assert products((0, 1)) == 3


def test_a_segment_does_not_predict_the_next_ones_first_token() -> None:
    segments = jnp.array([[1, 1, 2, 2, 0, 0]])
    weights = next_token_weights(segments, jnp.ones((1, 6)) * (segments > 0))
    np.testing.assert_array_equal(weights, [[1, 0, 1, 0, 0]])


def test_targets_are_the_supervised_places_in_order() -> None:
    tokens = jnp.array([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]])
    weights = jnp.array([[0, 1, 0, 0.5], [0, 0, 2, 0]])
    targets = select_targets(tokens, weights, limit=2)
    np.testing.assert_array_equal(targets.positions[0], [1, 3])
    np.testing.assert_array_equal(targets.tokens[0], [12, 14])
    np.testing.assert_array_equal(targets.weights, [[1, 0.5], [2, 0]])
    everything = select_targets(tokens, weights)
    np.testing.assert_array_equal(everything.weights, weights)


def test_global_and_per_device_means() -> None:
    weights = jnp.array([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(normalize_weights(weights), weights / 4)
    np.testing.assert_allclose(
        normalize_weights(weights, 2), weights / jnp.array([[6.0], [2.0]]), rtol=1e-6
    )
    nothing_in_one = jnp.array([[1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalize_weights(nothing_in_one, 2), nothing_in_one / 2)
    assert not normalize_weights(jnp.zeros((2, 2))).any()
