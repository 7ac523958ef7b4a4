"""The TPU's attention kernel, run step by step, against the plain path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.errors import UserError
from llava_jax.models.attention import attend, causal_mask
from llava_jax.models.compute import Compute
from llava_jax.models.splash import splash_attention

BATCH, LENGTH, HEADS, KV_HEADS, HEAD_DIM = 2, 128, 4, 2, 64


@pytest.mark.slow
def test_the_kernel_equals_the_plain_path_forward_and_backward():
    """Grouped queries, three packed samples and padding."""
    keys = jax.random.split(jax.random.key(0), 4)
    shape = (BATCH, LENGTH)
    q = HEAD_DIM**-0.5 * jax.random.normal(keys[0], (*shape, HEADS, HEAD_DIM))
    k, v = (jax.random.normal(key, (*shape, KV_HEADS, HEAD_DIM)) for key in keys[1:3])
    weigh = jax.random.normal(keys[3], q.shape)
    segments = jnp.asarray(np.repeat([[1, 2, 3, 0], [1, 1, 2, 2]], LENGTH // 4, axis=1))

    def kernel(q, k, v):
        return (splash_attention(q, k, v, segments, interpret=True) * weigh).sum()

    def plain(q, k, v):
        return (attend(q, k, v, causal_mask(segments), Compute()) * weigh).sum()

    found, wanted = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(q, k, v) for f in (kernel, plain)
    )
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    for a, b in zip(found[1], wanted[1], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_lengths_that_the_kernel_does_not_take():
    x = jnp.zeros((1, 100, 2, 64))
    with pytest.raises(UserError, match="multiple of 128, not 100"):
        splash_attention(x, x, x, jnp.ones((1, 100), jnp.int32))
