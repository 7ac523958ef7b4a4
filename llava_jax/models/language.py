"""The LLaMA decoder: Vicuna, Llama 2 and 3, SmolLM2 by its configuration."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from llava_jax.gather import take_rows
from llava_jax.models import cache, cpu, int8
from llava_jax.models.attention import (
    Packed,
    Projections,
    RopeScaling,
    attend,
    causal_mask,
    rotary_angles,
    rotate,
)
from llava_jax.models.cache import Cache
from llava_jax.models.compute import MLP_IN, QKV, Compute, named, run_blocks
from llava_jax.models.layers import Dense, RMSNorm, swiglu


@dataclass(frozen=True)
class LanguageConfig:
    """A decoder of the LLaMA family. max_length: the longest sequence it was trained for."""

    vocab_size: int
    width: int
    mlp_width: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int | None = None
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied_head: bool = False
    max_length: int = 2048

    @property
    def size_of_head(self) -> int:
        return self.head_dim or self.width // self.heads


def make_cache(config: LanguageConfig, compute: Compute, batch: int, length: int) -> Cache:
    """An empty cache with room for `length` tokens in each of `batch` rows."""
    return cache.make_cache(
        depth=config.depth,
        kv_heads=config.kv_heads,
        head_dim=config.size_of_head,
        batch=batch,
        length=length,
        compute=compute,
    )


class _Mlp(nn.Module):
    config: LanguageConfig
    compute: Compute

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def dense(features: int, name: str) -> Dense:
            return Dense(features, self.compute, use_bias=False, name=name)

        width = self.config.mlp_width
        if self.compute.native:
            gate, up = jnp.split(dense(2 * width, "gate_up")(x), 2, axis=-1)
        else:
            gate, up = (named(dense(width, part)(x), MLP_IN) for part in ("gate", "up"))
        hidden = swiglu(gate, up)
        return dense(self.config.width, "down")(hidden)


class DecoderBlock(nn.Module):
    """Causal attention with rotary positions and grouped queries, then the SwiGLU MLP."""

    config: LanguageConfig
    compute: Compute

    @nn.compact
    def __call__(
        self, x: Array, layer: cache.Layer | None, angles: Array, mask: Any, start: Array | None
    ) -> tuple[Array, Cache | None]:
        config, compute = self.config, self.compute
        attention = Projections(
            config.width,
            config.heads,
            config.kv_heads,
            config.size_of_head,
            False,
            compute,
            name="attention",
        )
        y = RMSNorm(config.norm_eps, compute.dtype, name="attention_norm")(x)
        q, k, v = attention.split(y)
        scale = config.size_of_head**-0.5
        q, k, v = (named(a, QKV) for a in (rotate(q, angles * scale), rotate(k, angles), v))
        new_k, new_v = (a.transpose(0, 2, 1, 3) for a in (k, v))
        if layer is None:
            seen = attend(q, k, v, mask, compute)
        else:
            seen = cache.attend_cached(q, new_k, new_v, layer, start, compute)
        new = None if start is None else cache.store(new_k, new_v, compute)
        x = x + attention.join(seen)
        y = RMSNorm(config.norm_eps, compute.dtype, name="mlp_norm")(x)
        return x + _Mlp(config, compute, name="mlp")(y), new


class _Matrix(nn.Module):
    """Weights alone: what is done with them is the caller's affair.

    outputs: the axis that they lie on (see int8.py).
    """

    label: str
    shape: tuple[int, int]
    outputs: int
    compute: Compute

    @nn.compact
    def __call__(self) -> Array | int8.Weights:
        if self.compute.int8_weights:
            return int8.declare(self, self.label, self.shape, self.outputs, self.compute)
        if self.compute.gather is not None:  # a shard, which flax would refuse for its shape
            return self.get_variable("params", self.label)
        return self.param(self.label, nn.initializers.normal(0.02), self.shape, jnp.float32)


class LanguageModel(nn.Module):
    """Token embeddings in, final hidden states out; `logits` is a step of its own.

    Training computes logits only where there is a label, generation only for the last token.
    """

    config: LanguageConfig
    compute: Compute

    def setup(self) -> None:
        config, compute = self.config, self.compute
        table, kernel = (config.vocab_size, config.width), (config.width, config.vocab_size)
        self.embed = _Matrix("embedding", table, int8.TABLE, compute)
        if not config.tied_head:
            self.lm_head = _Matrix("kernel", kernel, int8.KERNEL, compute)
        self.norm = RMSNorm(config.norm_eps, self.compute.dtype)

    def embed_tokens(self, tokens: Int[Array, "batch seq"]) -> Float[Array, "batch seq d"]:
        table, compute = self.embed(), self.compute
        if compute.int8_weights:
            rows = int8.look_up(table, tokens)
        elif compute.gather is not None:
            rows = compute.gather.look_up(table, tokens)
        else:
            rows = take_rows(table, tokens)
        return rows.astype(compute.dtype)

    def logits(self, hidden: Float[Array, "*batch d"]) -> Float[Array, "*batch vocab"]:
        """Scores of the next token, float32."""
        compute = self.compute
        hidden = hidden.astype(compute.dtype)
        if self.config.tied_head:
            weights, outputs, equation = self.embed(), int8.TABLE, "...d,vd->...v"
        else:
            weights, outputs, equation = self.lm_head(), int8.KERNEL, "...d,dv->...v"
        if compute.int8_weights:
            return int8.product(hidden, weights, outputs, compute)
        if compute.cpu_bfloat16 and hidden.shape[:-1] == (1,):
            return self.logits(cpu.two_rows(hidden))[:1]
        return jnp.einsum(
            equation,
            hidden,
            weights.astype(compute.dtype),
            precision=compute.precision,
            preferred_element_type=jnp.float32,
        )

    def __call__(
        self,
        embeddings: Float[Array, "batch seq d"],
        positions: Int[Array, "batch seq"],
        segments: Int[Array, "batch seq"],
    ) -> Float[Array, "batch seq d"]:
        """Whole sequences, packed or padded, without a cache."""
        x, _ = self._blocks(embeddings, positions, Packed(segments), None, None)
        return x

    def extend(
        self,
        embeddings: Float[Array, "batch seq d"],
        start: Int[Array, " batch"],
        cached: Cache,
    ) -> tuple[Float[Array, "batch seq d"], Cache]:
        """Continues each row after its first `start` cached tokens.

        Returns the states and what the new tokens add to the cache (`cache.write` puts it there).
        """
        positions = start[:, None] + jnp.arange(embeddings.shape[1])
        return self._blocks(embeddings, positions, None, cached, start)

    def read(
        self, embeddings: Float[Array, "batch seq d"]
    ) -> tuple[Float[Array, "batch seq d"], Cache]:
        """Reads rows from their beginning; a cache of just these tokens comes with the states."""
        batch, length, _ = embeddings.shape
        start = jnp.zeros(batch, jnp.int32)
        positions = start[:, None] + jnp.arange(length)
        # A mask, not the kernel: prompts have any length, and are cut over heads.
        mask = causal_mask(jnp.ones((batch, length), jnp.int32))
        return self._blocks(embeddings, positions, mask, None, start)

    @nn.compact
    def _blocks(
        self,
        x: Array,
        positions: Array,
        mask: Any,
        cached: Cache | None,
        start: Array | None,
    ) -> tuple[Array, Cache | None]:
        config = self.config
        angles = rotary_angles(
            positions, config.size_of_head, config.rope_theta, config.rope_scaling
        )
        if self.compute.platform == "cpu":
            # XLA would put cosines and sines into every layer's rotations: 15 times the work.
            angles = cpu.computed_apart(angles)
        x, new = run_blocks(
            DecoderBlock,
            path=self.path,
            name="layers",
            count=config.depth,
            compute=self.compute,
            fields={"config": config, "compute": self.compute},
            x=x,
            per_layer=None if cached is None else cache.layers(cached, self.compute),
            shared=(angles, mask, start),
        )
        return self.norm(x), None if start is None else cache.stacked(new, self.compute)
