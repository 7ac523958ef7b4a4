"""From features of the vision tower to embeddings of the language model."""

import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.layers import Dense, activate


@dataclass(frozen=True)
class ProjectorConfig:
    """kind: "linear" (LLaVA-1.0) or "mlp2x_gelu" (1.5; any depth as "mlpNx_gelu").

    merge: 2 concatenates each 2x2 square of patches into one token before projecting (a quarter
      of the tokens); 1, LLaVA's own, leaves them alone.
    """

    kind: str = "mlp2x_gelu"
    merge: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"linear|mlp[1-9]\d*x_gelu", self.kind):
            raise UserError(
                f"unknown projector {self.kind!r}: use 'linear' or 'mlp2x_gelu' (or another depth)"
            )

    @property
    def depth(self) -> int:
        """Number of linear layers."""
        return 1 if self.kind == "linear" else int(self.kind[3:].split("x")[0])


def merge_patches(
    features: Float[Array | np.ndarray, "n patches d"], merge: int
) -> Float[Array | np.ndarray, "n tokens merged_d"]:
    """Concatenates each merge x merge square of patches, row by row, along the channels."""
    n, patches, d = features.shape
    side = round(patches**0.5)
    x = features.reshape(n, side // merge, merge, side // merge, merge, d)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, (side // merge) ** 2, merge * merge * d)


def torch_linear_init(d_in: int) -> nn.initializers.Initializer:
    """What torch.nn.Linear draws kernel and bias from, and LLaVA's projector starts with."""
    bound = d_in**-0.5

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Projector(nn.Module):
    """A stack of linear layers with exact (erf) GELU between them."""

    config: ProjectorConfig
    width: int
    compute: Compute

    @nn.compact
    def __call__(self, features: Float[Array, "n patches d"]) -> Float[Array, "n tokens width"]:
        x = features
        if self.config.merge > 1:
            x = merge_patches(x, self.config.merge)
        for i in range(self.config.depth):
            if i:
                x = activate("gelu", x)
            init = torch_linear_init(x.shape[-1])
            x = Dense(
                self.width, self.compute, kernel_init=init, bias_init=init, name=f"dense_{i}"
            )(x)
        return x
