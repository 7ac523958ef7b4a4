"""Attention and rotary positions against torch, and their written-out gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from llava_jax.mesh import Platform
from llava_jax.models import attention, cpu
from llava_jax.models.attention import (
    Packed,
    RopeScaling,
    attend,
    causal_mask,
    rotary_angles,
    rotate,
)
from llava_jax.models.compute import Compute
from tests.models.test_layers import normal, relative, with_gradients

DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 3e-2)], ids=["f32", "bf16"]
)


jit_attend = jax.jit(attend, static_argnums=4)
jit_mask = jax.jit(causal_mask)
jit_rotate = jax.jit(rotate)
jit_angles = jax.jit(rotary_angles, static_argnums=(1, 2, 3))


def heads(seq: int, kv_heads: int, seed: int = 0) -> tuple[jax.Array, ...]:
    """Queries of 4 heads, keys and values of kv_heads: [2, seq, heads, 16]; queries scaled."""
    q, k, v = (normal(2, seq, n, 16, seed=seed + i) for i, n in enumerate((4, kv_heads, kv_heads)))
    return q / 4, k, v


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_with_grouped_queries_is_torchs(kv_heads: int, platform: Platform):
    q, k, v = heads(6, kv_heads)
    segments = jnp.array([[1, 1, 1, 2, 2, 0], [1] * 6])
    mask = jit_mask(segments)
    ours = jit_attend(q, k, v, mask, Compute(platform=platform))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(torch.tensor(np.array(a)).transpose(1, 2) for a in (q, k, v)),
        attn_mask=torch.tensor(np.array(mask))[:, None],
        enable_gqa=True,
        scale=1.0,  # ours come scaled
    )
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 1, 3), atol=2e-6)


def test_a_token_sees_itself_and_what_came_before_in_its_segment():
    mask = jit_mask(jnp.array([[1, 1, 2, 2, 0]]))[0]
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def plain_attention(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array) -> jax.Array:
    scores = jnp.einsum("nqd,nkd->nqk", q, k) + bias
    return jnp.einsum("nqk,nkd->nqd", jax.nn.softmax(scores, axis=-1), v)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("seq", "width"), [(300, 16), (520, 8), (9, 12)], ids=["uneven blocks", "many", "odd"]
)
@DTYPES
def test_gradients_of_the_cpu_attention(
    seq: int, width: int, causal: bool, dtype, tolerance: float
):
    """The hand-written gradient, run in both dtypes, against JAX's of plain float32 attention."""
    group = 2
    q, g = width**-0.5 * normal(3, seq * group, width), normal(3, seq * group, width, seed=3)
    k, v = (normal(3, seq, width, seed=i) for i in (1, 2))
    bias = jnp.where(jnp.tril(jnp.ones((seq, seq), bool)), 0.0, -1e30).repeat(group, axis=0)
    bias = jnp.broadcast_to(bias, (3, seq * group, seq))
    expected = with_gradients(lambda *x: plain_attention(*x, bias), (q, k, v), g)
    inputs = [a.astype(dtype) for a in (q, k, v)]
    ours = with_gradients(lambda *x: cpu.attention(causal, *x, bias), inputs, g)
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == dtype
        assert relative(a, b) < tolerance


def test_packed_is_its_causal_mask_for_fewer_products():
    """Two blocks, whose first sees half of the keys: three quarters of the products."""
    inputs = heads(256, 2)
    segments = jnp.asarray(np.repeat([[1, 2, 3, 0], [1, 1, 1, 1]], 64, axis=1))
    outs, costs = [], []
    for mask in (Packed(segments), causal_mask(segments)):
        program = jit_attend.lower(*inputs, mask, Compute()).compile()
        outs.append(program(*inputs, mask))
        costs.append(program.cost_analysis()["flops"])
    np.testing.assert_allclose(*outs, atol=2e-6)
    assert costs[0] < 0.8 * costs[1]


def test_bfloat16_on_a_cpu_and_elsewhere_agree():
    q, k, v = (a.astype(jnp.bfloat16) for a in heads(8, 2))
    mask = jit_mask(jnp.ones((2, 8), jnp.int32))
    exact = jit_attend(*(a.astype(jnp.float32) for a in (q, k, v)), mask, Compute())
    for platform in ("cpu", "tpu"):
        ours = jit_attend(q, k, v, mask, Compute(dtype=jnp.bfloat16, platform=platform))
        assert ours.dtype == jnp.bfloat16
        assert relative(ours, exact) < 2e-2


@pytest.mark.parametrize("scaled", [False, True])
def test_rotary_positions_are_transformers(scaled: bool):
    """At positions up to 5000, where every band of the scaling shows."""
    scaling = RopeScaling(8.0, 1.0, 4.0, 256)
    theirs = LlamaConfig(
        hidden_size=64,
        num_attention_heads=4,
        head_dim=32,
        rope_theta=10000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_length,
        }
        if scaled
        else None,
    )
    positions = np.array([[0, 1, 7, 100, 1000, 5000], [3, 2, 1, 0, 11, 12]], np.int32)
    x = normal(2, 6, 4, 32)
    angles = jit_angles(jnp.asarray(positions), 32, 10000.0, scaling if scaled else None)
    rotary = LlamaRotaryEmbedding(theirs)
    states = torch.tensor(np.array(x)).transpose(1, 2)
    cos, sin = rotary(states, torch.tensor(positions, dtype=torch.long))
    expected, _ = apply_rotary_pos_emb(states, states, cos, sin)
    # float32 holds an angle of 5000 radians to 2.5e-4.
    np.testing.assert_allclose(jit_rotate(x, angles), expected.transpose(1, 2), atol=2e-3)
    near = slice(0, 4)
    np.testing.assert_allclose(
        jit_rotate(x, angles)[:, near], expected.transpose(1, 2)[:, near], atol=5e-5
    )


@DTYPES
def test_gradient_of_rotation(dtype, tolerance: float):
    x, g = normal(2, 6, 4, 16), normal(2, 6, 4, 16, seed=1)
    angles = jit_angles(jnp.arange(12).reshape(2, 6), 16, 10000.0)
    plain = partial(attention._rotate, cos=angles[0, :, :, None], sin=angles[1, :, :, None])
    expected = with_gradients(plain, [x], g)
    ours = with_gradients(lambda x: rotate(x, angles), [x.astype(dtype)], g)
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == dtype
        assert relative(a, b) < tolerance
