"""The LLaMA decoder: Vicuna, Llama 2 and 3, SmolLM2 by its configuration."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from llava_jax.models import cpu
from llava_jax.models.attention import (
    Projections,
    RopeScaling,
    attend,
    rotary_angles,
    rotate,
    within_segments,
)
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


# Keys and values of every layer, each [batch, length, kv_heads, head_dim]: stacked on a leading
# layer axis when layers are scanned, else one pair a layer in a list.
Cache = Any


def make_cache(config: LanguageConfig, compute: Compute, batch: int, length: int) -> Cache:
    """An empty cache with room for `length` tokens in each of `batch` rows."""
    shape = (batch, length, config.kv_heads, config.size_of_head)

    def pair(*layers: int) -> tuple[Array, Array]:
        return tuple(jnp.zeros((*layers, *shape), compute.dtype) for _ in range(2))

    return pair(config.depth) if compute.scan_layers else [pair() for _ in range(config.depth)]


def _write(cache: Array, new: Array, start: Array) -> Array:
    """Writes each row's new keys or values at that row's own position."""
    if new.shape[1] == 1:
        # A CPU would carry out the general update in float32, over the whole cache.
        here = jnp.arange(cache.shape[1]) == start[:, None]
        return jnp.where(here[..., None, None], new.astype(cache.dtype), cache)

    def row(cache: Array, new: Array, start: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(cache, new, start, axis=0)

    return jax.vmap(row)(cache, new.astype(cache.dtype), start)


class _Mlp(nn.Module):
    config: LanguageConfig
    compute: Compute

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def dense(features: int, name: str) -> Dense:
            return Dense(features, self.compute, use_bias=False, name=name)

        gate, up = (named(dense(self.config.mlp_width, part)(x), MLP_IN) for part in ("gate", "up"))
        hidden = swiglu(gate, up)
        return dense(self.config.width, "down")(hidden)


class DecoderBlock(nn.Module):
    """Causal attention with rotary positions and grouped queries, then the SwiGLU MLP."""

    config: LanguageConfig
    compute: Compute

    @nn.compact
    def __call__(
        self, x: Array, cache: Any, angles: Array, mask: Any, start: Array | None
    ) -> tuple[Array, Any]:
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
        q, k, v = (named(a, QKV) for a in (rotate(q, angles), rotate(k, angles), v))
        if cache is not None:
            k, v = cache = (_write(cache[0], k, start), _write(cache[1], v, start))
        x = x + attention.join(attend(q, k, v, mask, compute))
        y = RMSNorm(config.norm_eps, compute.dtype, name="mlp_norm")(x)
        return x + _Mlp(config, compute, name="mlp")(y), cache


class _Kernel(nn.Module):
    """The head's weights alone: what is multiplied with them, and how, is the caller's affair."""

    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> Array:
        return self.param("kernel", nn.initializers.normal(0.02), self.shape, jnp.float32)


class LanguageModel(nn.Module):
    """Token embeddings in, final hidden states out; `logits` is a step of its own.

    Training computes logits only where there is a label, generation only for the last token.
    """

    config: LanguageConfig
    compute: Compute

    def setup(self) -> None:
        config = self.config
        self.embed = nn.Embed(
            config.vocab_size, config.width, embedding_init=nn.initializers.normal(0.02)
        )
        if not config.tied_head:
            self.lm_head = _Kernel((config.width, config.vocab_size))
        self.norm = RMSNorm(config.norm_eps, self.compute.dtype)

    def embed_tokens(self, tokens: Int[Array, "batch seq"]) -> Float[Array, "batch seq d"]:
        # Indexing the table itself: calling nn.Embed would first convert the whole of it.
        return self.embed.embedding[tokens].astype(self.compute.dtype)

    def logits(self, hidden: Float[Array, "*batch d"]) -> Float[Array, "*batch vocab"]:
        """Scores of the next token, float32."""
        compute = self.compute
        hidden = hidden.astype(compute.dtype)
        if compute.cpu_bfloat16 and hidden.shape[:-1] == (1,):
            return self.logits(cpu.two_rows(hidden))[:1]
        if self.config.tied_head:
            table = self.embed.embedding.astype(compute.dtype)
            equation = "...d,vd->...v"
        else:
            table = self.lm_head().astype(compute.dtype)
            equation = "...d,dv->...v"
        return jnp.einsum(
            equation,
            hidden,
            table,
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
        x, _ = self._blocks(
            embeddings, positions, within_segments(segments, self.compute), None, None
        )
        return x

    def extend(
        self,
        embeddings: Float[Array, "batch seq d"],
        start: Int[Array, " batch"],
        cache: Cache,
    ) -> tuple[Float[Array, "batch seq d"], Cache]:
        """Continues each row after its first `start` cached tokens.

        The cache must have room for start + seq tokens. What lies beyond a row's own tokens
        (padding at the right) is written but never looked at.
        """
        length = jax.tree.leaves(cache)[0].shape[-3]
        positions = start[:, None] + jnp.arange(embeddings.shape[1])
        mask: Bool[Array, "batch seq length"] = jnp.arange(length) <= positions[..., None]
        return self._blocks(embeddings, positions, mask, cache, start)

    @nn.compact
    def _blocks(
        self,
        x: Array,
        positions: Array,
        mask: Any,
        cache: Cache | None,
        start: Array | None,
    ) -> tuple[Array, Cache]:
        config = self.config
        angles = rotary_angles(
            positions, config.size_of_head, config.rope_theta, config.rope_scaling
        )
        if self.compute.platform == "cpu":
            angles = cpu.computed_once(angles)
        x, cache = run_blocks(
            DecoderBlock,
            path=self.path,
            name="layers",
            count=config.depth,
            compute=self.compute,
            fields={"config": config, "compute": self.compute},
            x=x,
            per_layer=cache,
            shared=(angles, mask, start),
        )
        return self.norm(x), cache
