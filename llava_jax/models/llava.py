"""LLaVA: a vision tower, a projector, and a decoder that reads image tokens among its words."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from llava_jax.anyres import AnyRes, Size
from llava_jax.errors import UserError
from llava_jax.models.cache import Cache
from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageConfig, LanguageModel
from llava_jax.models.projector import Projector, ProjectorConfig
from llava_jax.models.vision import VisionConfig, VisionTower
from llava_jax.text.encode import NEWLINE, ImageLayout

Batch = dict[str, Any]


@dataclass(frozen=True)
class LlavaConfig:
    """The three networks of a LLaVA, and whether it looks at images in tiles (LLaVA-1.6)."""

    vision: VisionConfig
    projector: ProjectorConfig
    language: LanguageConfig
    anyres: AnyRes | None = None

    def __post_init__(self) -> None:
        vision, merge = self.vision, self.projector.merge
        if merge < 1 or vision.grid % merge or vision.features % merge:
            raise UserError(
                f"merge {merge} does not divide the {vision.grid}x{vision.grid} patches of a "
                f"{vision.image_size} pixel image, or would merge a class token: use another "
                "image_size, merge 1, or feature_select 'patch'"
            )
        if self.anyres is None:
            return
        if any(side % vision.image_size or side < 1 for p in self.anyres.pinpoints for side in p):
            raise UserError(
                f"anyres cuts images into tiles of {vision.image_size} pixels: the sides of its "
                f"pinpoints {self.anyres.pinpoints} must be multiples of that"
            )
        if self.anyres.merge != "flat" and vision.features != vision.grid**2:
            raise UserError(
                f"anyres with {self.anyres.merge!r} joins patches to a map, where a class token "
                "has no place: use feature_select 'patch'"
            )

    @property
    def image_tokens(self) -> int:
        """Projected features of one view: the positions of an image that is not tiled."""
        return self.vision.features // self.projector.merge**2

    @property
    def has_newline(self) -> bool:
        """Whether rows of image features end with a learned embedding."""
        return self.anyres is not None and self.anyres.has_newline

    def layout(self, size: Size) -> ImageLayout:
        """What stands in the sequence for an image of (width, height) pixels."""
        if self.anyres is None:
            return ImageLayout.plain(self.image_tokens)
        return self.anyres.layout(size, self.vision.image_size, self.image_tokens)


def merge_images(
    embeddings: Float[Array, "batch seq d"],
    image_tokens: Float[Array, "batch slots d"],
    image_slots: Int[Array, "batch seq"],
    newline: Float[Array, " d"] | None = None,
) -> Float[Array, "batch seq d"]:
    """Puts image token `image_slots[b, s]` of row b at position s; -1 leaves the word there.

    newline: stands where the slot is NEWLINE. A gather inside each row: rows never look at each
    other, so it shards over the batch.
    """
    gathered = jnp.take_along_axis(
        image_tokens, jnp.maximum(image_slots, 0)[..., None], axis=1, mode="clip"
    )
    slots, dtype = image_slots[..., None], embeddings.dtype
    merged = jnp.where(slots >= 0, gathered.astype(dtype), embeddings)
    return merged if newline is None else jnp.where(slots == NEWLINE, newline.astype(dtype), merged)


class Llava(nn.Module):
    """The whole model over the static batch.

    A batch holds `tokens`, `positions`, `segments`, `image_slots` int32 [B,S], and the images of
    each row (one after another, with AnyRes all views of each) as pixels `images` [B,N,H,W,3]
    (uint8, or float32 already normalised), as the tower's output computed before, `features`
    [B,N,P,D], or projected already, `image_tokens` [B,N*P,d].
    """

    config: LlavaConfig
    compute: Compute

    def setup(self) -> None:
        config, compute = self.config, self.compute
        whole = replace(compute, int8_weights=False, native=False)
        self.vision = VisionTower(config.vision, whole)
        self.projector = Projector(config.projector, config.language.width, whole)
        self.language = LanguageModel(config.language, compute)
        if config.has_newline:
            width = config.language.width
            init = nn.initializers.normal(width**-0.5)
            self.image_newline = self.param("image_newline", init, (width,), jnp.float32)

    def encode_images(self, images: Array) -> Float[Array, "n features d"]:
        """The tower's features of images [n,H,W,3]."""
        return self.vision(images)

    def image_tokens(self, batch: Batch) -> Float[Array, "batch slots d"]:
        """Projected features of all images of each row, one after another."""
        if "image_tokens" in batch:
            return batch["image_tokens"]
        if "features" in batch:
            rows = batch["features"].shape[0]
            features = batch["features"].reshape(-1, *batch["features"].shape[2:])
        else:
            rows = batch["images"].shape[0]
            features = self.vision(batch["images"].reshape(-1, *batch["images"].shape[2:]))
        tokens = self.projector(features)
        return tokens.reshape(rows, -1, tokens.shape[-1])

    def embed(self, batch: Batch) -> Float[Array, "batch seq d"]:
        """Word embeddings with image tokens in their slots."""
        words = self.language.embed_tokens(batch["tokens"])
        newline = self.image_newline if self.config.has_newline else None
        return merge_images(words, self.image_tokens(batch), batch["image_slots"], newline)

    def hidden(self, batch: Batch) -> Float[Array, "batch seq d"]:
        """The decoder's last hidden states: what the loss takes its logits from."""
        return self.language(self.embed(batch), batch["positions"], batch["segments"])

    def __call__(self, batch: Batch) -> Float[Array, "batch seq vocab"]:
        """Logits at every position, float32."""
        return self.language.logits(self.hidden(batch))

    def prefill(self, batch: Batch) -> tuple[Float[Array, "batch vocab"], Cache]:
        """Reads whole prompts, padded at the right to one length.

        `lengths` int32 [B] in the batch counts each row's tokens. Returns the logits after each
        row's last token, and a cache of that one length.
        """
        hidden, new = self.language.read(self.embed(batch))
        return self._last_logits(hidden, batch["lengths"]), new

    def extend(
        self, batch: Batch, start: Int[Array, " batch"], cached: Cache
    ) -> tuple[Float[Array, "batch vocab"], Cache]:
        """Reads more of each row, of which the cache holds `start` tokens.

        Returns the logits as `prefill` does, and what is to be written into the cache.
        """
        hidden, new = self.language.extend(self.embed(batch), start, cached)
        return self._last_logits(hidden, batch["lengths"]), new

    def _last_logits(self, hidden: Array, lengths: Array) -> Array:
        last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
        return self.language.logits(last[:, 0])

    def decode(
        self, tokens: Int[Array, " batch"], lengths: Int[Array, " batch"], cached: Cache
    ) -> tuple[Float[Array, "batch vocab"], Cache]:
        """One token more in each row, which holds `lengths` tokens before it.

        Returns the logits, and what is to be written into the cache.
        """
        words = self.language.embed_tokens(tokens[:, None])
        hidden, new = self.language.extend(words, lengths, cached)
        return self.language.logits(hidden[:, 0]), new


def abstract_params(model: Llava) -> dict[str, Any]:
    """Shapes and dtypes of every parameter, without making any."""
    plain = _plain(model)
    return jax.eval_shape(plain.init, jax.random.key(0), _smallest_batch(plain))["params"]


def init_params(model: Llava, seed: int) -> dict[str, Any]:
    """Random parameters, float32."""
    return _init(_plain(model), jax.random.key(seed))


@partial(jax.jit, static_argnums=0)
def _init(model: Llava, key: Array) -> dict[str, Any]:
    return model.init(key, _smallest_batch(model))["params"]


def _plain(model: Llava) -> Llava:
    """The same parameters, made on any machine: of how to compute only their layout matters."""
    return Llava(model.config, Compute(scan_layers=model.compute.scan_layers))


def _smallest_batch(model: Llava) -> Batch:
    size, token = model.config.vision.image_size, jnp.zeros((1, 1), jnp.int32)
    images = jnp.zeros((1, 1, size, size, 3), jnp.uint8)
    return dict.fromkeys(("tokens", "positions", "segments", "image_slots"), token) | {
        "images": images
    }
