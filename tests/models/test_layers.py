"""Products, norms and activations against torch and against JAX's own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from llava_jax.models import cpu
from llava_jax.models.compute import Compute
from llava_jax.models.layers import Dense, LayerNorm, RMSNorm, activate, swiglu

BFLOAT16 = Compute(dtype=jnp.bfloat16)


def normal(*shape: int, dtype=jnp.float32, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def with_gradients(function, inputs, g) -> list[jax.Array]:
    """The function's value, and its gradients with respect to the inputs for the cotangent g."""

    @jax.jit
    def run(inputs, g):
        out, pull = jax.vjp(function, *inputs)
        return [out, *pull(g.astype(out.dtype))]

    return run(inputs, g)


def relative(ours: jax.Array, expected: jax.Array) -> float:
    """Largest error as a share of the largest expected entry."""
    ours, expected = (np.asarray(a, np.float64) for a in (ours, expected))
    return np.abs(ours - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("shape", [(64, 96), (3, 32, 64), (2, 5, 8), (5, 7)])
def test_columns_first_is_the_transpose(shape: tuple[int, ...]):
    x = normal(*shape)
    np.testing.assert_array_equal(cpu.columns_first(x), x.reshape(-1, shape[-1]).T)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)], ids=["f32", "bf16"]
)
@pytest.mark.parametrize("shape", [(2, 32, 64), (33, 64), (2, 5, 7)], ids=["3d", "2d", "odd"])
def test_gradients_of_the_cpu_product(shape: tuple[int, ...], dtype, tolerance: float):
    """The hand-written gradient, run in both dtypes, against JAX's of a plain float32 product."""
    x, kernel = normal(*shape), normal(shape[-1], 32, seed=1)
    g = normal(*shape[:-1], 32, seed=2)
    expected = with_gradients(jnp.matmul, [x, kernel], g)
    ours = with_gradients(cpu.product, [x.astype(dtype), kernel.astype(dtype)], g)
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == dtype
        assert relative(a, b) < tolerance


def test_the_cpu_product_leaves_a_float32_masters_gradient_unrounded():
    x, kernel, g = normal(64, 64), normal(64, 32, seed=1), normal(64, 32, seed=2)
    x, g = x.astype(jnp.bfloat16), g.astype(jnp.bfloat16)
    dkernel = with_gradients(cpu.product, [x, kernel], g)[-1]
    assert dkernel.dtype == jnp.float32
    expected = x.astype(jnp.float32).T @ g.astype(jnp.float32)
    np.testing.assert_allclose(dkernel, expected, rtol=1e-5, atol=1e-4)


def test_a_dense_layer_in_bfloat16_keeps_float32_masters():
    x = normal(2, 5, 64)
    layer, plain = Dense(32, BFLOAT16), Dense(32, Compute())
    params = layer.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    y = layer.apply(params, x)
    assert y.dtype == jnp.bfloat16 and y.shape == (2, 5, 32)
    assert relative(y, plain.apply(params, x)) < 2e-2

    def loss(params, layer):
        return (layer.apply(params, x).astype(jnp.float32) ** 2).sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    ours, expected = gradient(params, layer), gradient(params, plain)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert a.dtype == jnp.float32
        assert relative(a, b) < 3e-2


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)], ids=["f32", "bf16"]
)
def test_gradients_of_swiglu(dtype, tolerance: float):
    gate, up, g = 3 * normal(4, 50), normal(4, 50, seed=1), normal(4, 50, seed=2)

    def plain(gate, up):
        return jax.nn.silu(gate) * up

    expected = with_gradients(plain, [gate, up], g)
    ours = with_gradients(swiglu, [gate.astype(dtype), up.astype(dtype)], g)
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == dtype
        assert relative(a, b) < tolerance


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("quick_gelu", "quick_gelu"), ("gelu", "gelu"), ("gelu_tanh", "gelu_pytorch_tanh")],
)
def test_activations_are_torchs(name: str, theirs: str):
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    expected = ACT2FN[theirs](torch.tensor(x)).numpy()
    np.testing.assert_allclose(activate(name, jnp.asarray(x)), expected, atol=2e-6)


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_norms_are_torchs_even_where_eps_decides(eps: float):
    """Inputs as small as the square root of eps."""
    x = np.array(normal(3, 32)) * np.float32(eps**0.5)
    scale, bias = np.array(normal(32, seed=1)), np.array(normal(32, seed=2))
    theirs = LlamaRMSNorm(32, eps)
    theirs.weight.data = torch.tensor(scale)
    ours = RMSNorm(eps, jnp.float32).apply({"params": {"scale": scale}}, jnp.asarray(x))
    np.testing.assert_allclose(ours, theirs(torch.tensor(x)).detach(), atol=1e-6)
    expected = torch.nn.functional.layer_norm(
        torch.tensor(x), (32,), torch.tensor(scale), torch.tensor(bias), eps
    )
    params = {"scale": scale, "bias": bias}
    ours = LayerNorm(eps, jnp.float32).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_norms_compute_in_float32(norm):
    """In bfloat16 the sum of these squares would be far off."""
    x = (100 + normal(4, 2048)).astype(jnp.bfloat16)
    params = norm(1e-5, jnp.float32).init(jax.random.key(0), x)
    exact = norm(1e-5, jnp.float32).apply(params, x)
    rounded = norm(1e-5, jnp.bfloat16).apply(params, x)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_array_equal(rounded, exact.astype(jnp.bfloat16))
