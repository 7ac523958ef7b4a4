"""One vision transformer that is CLIP's, SigLIP's or DINOv2's tower by its configuration."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from llava_jax.errors import UserError
from llava_jax.models.attention import Projections, attend
from llava_jax.models.compute import MLP_IN, QKV, Compute, named, run_blocks
from llava_jax.models.layers import Dense, LayerNorm, activate

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionConfig:
    """A vision tower, and which of its features LLaVA reads.

    positions: patch positions stored per side; None is image_size // patch_size. Where the two
      differ they are interpolated (DINOv2).
    feature_layers: as Hugging Face counts hidden states: 0 is the embeddings, i the output of
      block i, negative from the end (-1 the last block, before any final norm). Several are
      concatenated. Blocks after the last one selected are neither computed nor created.
    feature_select: "patch" drops the class token, "full" keeps it (first).
    post_norm: whether the final norm is applied to the selected features (never in LLaVA's).
    """

    width: int
    mlp_width: int
    depth: int
    heads: int
    image_size: int
    patch_size: int
    activation: str = "quick_gelu"
    norm_eps: float = 1e-5
    class_token: bool = True
    patch_bias: bool = False
    pre_norm: bool = True
    post_norm: bool = False
    layer_scale: bool = False
    positions: int | None = None
    feature_layers: tuple[int, ...] = (-2,)
    feature_select: str = "patch"
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def __post_init__(self) -> None:
        if self.grid == 0:
            raise UserError(
                f"image_size {self.image_size} is smaller than one patch of {self.patch_size}"
            )
        if not self.selected or not all(0 <= i <= self.depth for i in self.selected):
            raise UserError(
                f"feature_layers {self.feature_layers} must name layers from {-self.depth - 1} "
                f"to {self.depth}: this tower has {self.depth} blocks"
            )

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def features(self) -> int:
        """Feature vectors of one image."""
        return self.grid**2 + (self.class_token and self.feature_select == "full")

    @property
    def feature_width(self) -> int:
        return self.width * len(self.feature_layers)

    @property
    def selected(self) -> tuple[int, ...]:
        """For each selected feature, after how many blocks it is read."""
        return tuple(i if i >= 0 else self.depth + 1 + i for i in self.feature_layers)

    @property
    def blocks(self) -> int:
        """Blocks that have to be computed."""
        return max(self.selected)


def bicubic_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Weights [size_out, size_in] of bicubic resampling along one side.

    As torch's `interpolate(mode="bicubic", align_corners=False)`, which made DINOv2's positions:
    the kernel with a = -0.75, no antialiasing, borders repeated.
    """
    a = -0.75
    matrix = np.zeros((size_out, size_in), np.float64)
    for i in range(size_out):
        centre = (i + 0.5) * size_in / size_out - 0.5
        first = int(np.floor(centre)) - 1
        for j in range(first, first + 4):
            d = abs(centre - j)
            if d <= 1:
                weight = (a + 2) * d**3 - (a + 3) * d**2 + 1
            else:
                weight = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            matrix[i, min(max(j, 0), size_in - 1)] += weight
    return matrix.astype(np.float32)


class _Mlp(nn.Module):
    config: VisionConfig
    compute: Compute

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = named(Dense(self.config.mlp_width, self.compute, name="up")(x), MLP_IN)
        x = activate(self.config.activation, x)
        return Dense(self.config.width, self.compute, name="down")(x)


class VisionBlock(nn.Module):
    """Pre-norm transformer block: attention over all patches, then the MLP."""

    config: VisionConfig
    compute: Compute
    keep: bool

    @nn.compact
    def __call__(self, x: Array, _: None) -> tuple[Array, Array | None]:
        config, compute = self.config, self.compute
        head_dim = config.width // config.heads

        def scaled(name: str, y: Array) -> Array:
            if not config.layer_scale:
                return y
            gamma = self.param(name, nn.initializers.ones, (config.width,), jnp.float32)
            return y * gamma.astype(y.dtype)

        attention = Projections(
            config.width, config.heads, config.heads, head_dim, True, compute, name="attention"
        )
        y = LayerNorm(config.norm_eps, compute.dtype, name="norm1")(x)
        q, k, v = (named(a, QKV) for a in attention.split(y))
        y = attention.join(attend(q * head_dim**-0.5, k, v, None, compute))
        x = x + scaled("layer_scale1", y)
        y = LayerNorm(config.norm_eps, compute.dtype, name="norm2")(x)
        x = x + scaled("layer_scale2", _Mlp(config, compute, name="mlp")(y))
        return x, x if self.keep else None


class VisionTower(nn.Module):
    """Images in, features of the selected layers out."""

    config: VisionConfig
    compute: Compute

    def normalize(
        self, images: UInt8[Array, "n h w 3"] | Float[Array, "n h w 3"]
    ) -> Float[Array, "n h w 3"]:
        """uint8 pixels as the tower was trained on them; floats are taken as already normalised."""
        if images.dtype != jnp.uint8:
            return images
        mean, std = (np.array(x, np.float32) for x in (self.config.mean, self.config.std))
        return (images.astype(jnp.float32) / 255 - mean) / std

    def _embed(self, images: Array) -> Array:
        """Patches, class token and positions -> [n, tokens, width]."""
        config, compute = self.config, self.compute
        n, grid, patch = images.shape[0], config.grid, config.patch_size
        # Pixels that do not fill a patch are cut off, as the patch convolution does.
        x = self.normalize(images)[:, : grid * patch, : grid * patch]
        x = x.reshape(n, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(n, grid * grid, patch * patch * 3)
        x = Dense(config.width, compute, use_bias=config.patch_bias, name="patch_embed")(x)
        init = nn.initializers.normal(0.02)
        stored = config.positions or grid
        count = stored**2 + config.class_token
        positions = self.param("position_embedding", init, (count, config.width), jnp.float32)
        positions = positions.astype(jnp.float32)
        if stored != grid:
            resize = bicubic_matrix(stored, grid)
            square = positions[-(stored**2) :].reshape(stored, stored, config.width)
            square = jnp.einsum("yi,xj,ijd->yxd", resize, resize, square, precision="highest")
            positions = jnp.concatenate([positions[: -(stored**2)], square.reshape(grid**2, -1)])
        if config.class_token:
            token = self.param("class_token", init, (config.width,), jnp.float32)
            token = jnp.broadcast_to(token.astype(x.dtype), (n, 1, config.width))
            x = jnp.concatenate([token, x], axis=1)
        return (x.astype(jnp.float32) + positions).astype(compute.dtype)

    @nn.compact
    def __call__(
        self, images: UInt8[Array, "n h w 3"] | Float[Array, "n h w 3"]
    ) -> Float[Array, "n features width"]:
        config, compute = self.config, self.compute
        x = self._embed(images)
        if config.pre_norm:
            x = LayerNorm(config.norm_eps, compute.dtype, name="pre_norm")(x)
        # The outputs of all blocks are kept only where more than the last one is read.
        keep = set(config.selected) != {config.blocks}
        embeddings = x
        x, outputs = run_blocks(
            VisionBlock,
            path=self.path,
            name="blocks",
            count=config.blocks,
            compute=compute,
            fields={"config": config, "compute": compute, "keep": keep},
            x=x,
        )
        states = [embeddings, *outputs] if keep else {config.blocks: x}
        selected = [states[i] for i in config.selected]
        if config.post_norm:
            norm = LayerNorm(config.norm_eps, compute.dtype, name="post_norm")
            selected = [norm(state) for state in selected]
        features = jnp.concatenate(selected, axis=-1)
        drop_class = config.class_token and config.feature_select == "patch"
        return features[:, 1:] if drop_class else features
