"""Products, norms and activations that every network here is made of."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from llava_jax.models import cpu, int8
from llava_jax.models.compute import Compute


def product(
    x: Float[Array, "*batch d_in"], kernel: Float[Array, "d_in d_out"], compute: Compute
) -> Float[Array, "*batch d_out"]:
    """x @ kernel in the compute dtype, accumulated in float32."""
    x = x.astype(compute.dtype)
    if compute.cpu_bfloat16:
        return cpu.product(x, kernel)
    return jnp.dot(x, kernel.astype(compute.dtype), precision=compute.precision)


class Dense(nn.Module):
    """A linear layer whose kernel is [in, out]."""

    features: int
    compute: Compute
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "*batch d_in"]) -> Float[Array, "*batch d_out"]:
        shape = (x.shape[-1], self.features)
        if self.compute.int8_weights:
            weights = int8.declare(self, "kernel", shape, int8.KERNEL, self.compute)
            y = int8.product(x, weights, int8.KERNEL, self.compute, self.compute.dtype)
        else:
            kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
            y = product(x, kernel, self.compute)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
            y = y + bias.astype(y.dtype)
        return y


class RMSNorm(nn.Module):
    """Root mean square norm, in float32 whatever the input (LLaMA)."""

    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + self.eps)
        return (x * scale.astype(jnp.float32)).astype(self.dtype)


class LayerNorm(nn.Module):
    """Layer norm with scale and bias, in float32 whatever the input."""

    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        x = x - x.mean(-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + self.eps)
        return (x * scale.astype(jnp.float32) + bias.astype(jnp.float32)).astype(self.dtype)


def quick_gelu(x: Array) -> Array:
    """x * sigmoid(1.702 x): OpenAI CLIP's activation."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "quick_gelu": quick_gelu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
}


def activate(name: str, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    """The named activation, computed in float32."""
    return ACTIVATIONS[name](x.astype(jnp.float32)).astype(x.dtype)


@jax.custom_vjp
def swiglu(
    gate: Float[Array, "*batch d"], up: Float[Array, "*batch d"]
) -> Float[Array, "*batch d"]:
    """silu(gate) * up in float32.

    The gradient is written out so that it saves the two inputs in their own dtype, not the
    float32 intermediates.
    """
    gate32 = gate.astype(jnp.float32)
    return (gate32 * jax.nn.sigmoid(gate32) * up.astype(jnp.float32)).astype(gate.dtype)


def _swiglu_forward(gate: Array, up: Array) -> tuple[Array, tuple[Array, Array]]:
    return swiglu(gate, up), (gate, up)


def _swiglu_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    gate, up = (a.astype(jnp.float32) for a in saved)
    g = g.astype(jnp.float32)
    sigmoid = jax.nn.sigmoid(gate)
    silu = gate * sigmoid
    dgate = g * up * (sigmoid + silu * (1 - sigmoid))
    return dgate.astype(saved[0].dtype), (g * silu).astype(saved[1].dtype)


swiglu.defvjp(_swiglu_forward, _swiglu_backward)
