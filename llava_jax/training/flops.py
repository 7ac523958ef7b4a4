"""How much arithmetic a step is, from the sizes alone: model FLOPs, without any recomputation."""

from collections.abc import Sequence

import jax
import numpy as np

from llava_jax import partition
from llava_jax.models.llava import LlavaConfig


def parameter_count(tree: partition.Params) -> int:
    """Numbers in a tree of arrays (or of their shapes)."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def step_flops(
    config: LlavaConfig,
    params: partition.Params,
    trainable: Sequence[str],
    *,
    tokens: int,
    squared_lengths: int,
    targets: int,
    images: int,
    cached_features: bool = False,
) -> float:
    """Floating point operations of one training step, forward and backward.

    2 for each weight and token forward, 2 more for the gradient that flows on, 2 more where the
    weight is trained (so a frozen decoder costs 4, a trained one 6). Causal attention is
    2 * width * length**2 a layer forward and twice that backward. The head counts only at
    supervised positions. A frozen tower runs forward only, and not at all on cached features.

    Args:
      tokens: real tokens in the batch, image tokens included.
      squared_lengths: the sum of the squared lengths of the batch's samples.
      targets: supervised positions.
      images: images in the batch.
    """
    weights = {"vision": 0, "projector": 0, "language": 0}
    for path, leaf in partition.flatten(params).items():
        if path.endswith("/kernel") and "lm_head" not in path:
            weights[path.split("/")[0]] += int(np.prod(leaf.shape))
    trained = {part: any(p.startswith(part) for p in trainable) for part in weights}
    language = config.language
    decoder = 6 if trained["language"] else 4
    attention = language.heads * language.size_of_head * language.depth
    total = decoder * tokens * weights["language"] + 6 * squared_lengths * attention
    total += decoder * targets * language.vocab_size * language.width
    total += 6 * images * config.image_tokens * weights["projector"]
    if not cached_features:
        vision = config.vision
        patches = vision.grid**2 + vision.class_token
        tower = patches * weights["vision"] + 2 * patches**2 * vision.width * vision.blocks
        total += (6 if trained["vision"] else 2) * images * tower
    return float(total)
