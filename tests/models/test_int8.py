"""Products in 8 bits against float ones, and our own kernels against XLA."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.models import cache, int8, native
from llava_jax.models.compute import Compute

PLAIN = Compute(int8_weights=True)
IN, OUT = 96, 208
needs_native = pytest.mark.skipif(not native.available(), reason="needs AVX-512 and a compiler")


def drawn(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def weights(outputs: int, compute: Compute) -> tuple[jax.Array, int8.Weights]:
    """A matrix, and the same in 8 bits."""
    matrix = drawn(0, *((IN, OUT) if outputs == int8.KERNEL else (OUT, IN)))
    values, scale = int8.rounded(matrix, axis=1 - outputs)
    if int8.packs(matrix.shape, compute):
        values = int8.pack(values.T if outputs == int8.KERNEL else values)
    return matrix, int8.Weights(values, scale.reshape(-1))


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("outputs", [int8.KERNEL, int8.TABLE])
def test_products_are_nearly_those_of_full_weights(rows: int, outputs: int):
    matrix, small = weights(outputs, PLAIN)
    x = drawn(1, rows, 3, IN)
    y = int8.product(x, small, outputs, PLAIN)
    exact = x @ (matrix if outputs == int8.KERNEL else matrix.T)
    assert y.shape == exact.shape == (rows, 3, OUT)
    error = float(jnp.abs(y - exact).mean() / jnp.abs(exact).mean())
    assert 1e-4 < error < 0.012  # two roundings of at most 1/254 of the greatest


@needs_native
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8, 31])
def test_our_product_is_that_of_xla(dtype: Any, rows: int):
    x = drawn(2, rows, IN).astype(dtype)
    plain, packed = (weights(int8.KERNEL, c)[1] for c in (PLAIN, replace(PLAIN, native=True)))
    ours = jax.jit(lambda x: int8.product(x, packed, int8.KERNEL, PLAIN))(x)
    xla = int8.product(x, plain, int8.KERNEL, PLAIN)
    np.testing.assert_allclose(ours, xla, rtol=1e-6, atol=1e-4)
    rounded = int8.product(x, packed, int8.KERNEL, PLAIN, jnp.bfloat16)
    assert rounded.dtype == jnp.bfloat16 and (rounded == ours.astype(jnp.bfloat16)).all()


@needs_native
def test_a_product_large_enough_for_several_threads():
    values = np.random.default_rng(3).integers(-127, 128, (4096, 512), np.int8)
    scale, x = jnp.linspace(0.5, 1, 4096), drawn(4, 3, 512)
    packed = int8.Weights(int8.pack(jnp.asarray(values)), scale)
    plain = int8.Weights(jnp.asarray(values), scale)
    ours, xla = (int8.product(x, w, int8.TABLE, PLAIN) for w in (packed, plain))
    np.testing.assert_allclose(ours, xla, rtol=1e-6, atol=1e-2)


def test_rows_of_a_table_are_its_own():
    matrix, plain = weights(int8.TABLE, PLAIN)
    _, packed = weights(int8.TABLE, replace(PLAIN, native=True))
    tokens = jnp.array([[0, 207], [17, 16]])
    rows = int8.look_up(plain, tokens)
    np.testing.assert_allclose(rows, matrix[tokens], atol=0.02)
    np.testing.assert_array_equal(int8.look_up(packed, tokens), rows)


@needs_native
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("int8_cache", [False, True])
@pytest.mark.parametrize("head_dim", [64, 128])
def test_our_attention_is_that_of_xla(dtype: Any, int8_cache: bool, head_dim: int):
    """The second of three layers, rows of every length, five queries to a key."""
    xla = Compute(dtype, int8_cache=int8_cache)
    kept = drawn(5, 3, 2, 4, 2, 512, head_dim).astype(dtype)
    cached = cache.stacked([cache.store(*layer, xla) for layer in kept], xla)
    q = (drawn(6, 4, 1, 10, head_dim) * head_dim**-0.5).astype(dtype)
    k, v = drawn(7, 2, 4, 2, 1, head_dim).astype(dtype)
    start = jnp.array([0, 5, 256, 511])
    found = [
        cache.attend_cached(q, k, v, cache.Layer(cached, 1), start, compute)
        for compute in (xla, replace(xla, native=True))
    ]
    tolerance = 1e-2 if dtype == jnp.bfloat16 else 2e-6
    np.testing.assert_allclose(*(np.float32(a) for a in found), atol=tolerance, rtol=tolerance)


@needs_native
def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not native.available.__wrapped__()
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(native, "cache_folder", lambda: native.Path("/nowhere"))
    assert not native.available.__wrapped__()
    said = capsys.readouterr().err
    assert "no C++ compiler found" in said and "false failed" in said
