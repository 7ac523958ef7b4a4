"""How much arithmetic a step is, from the sizes alone: model FLOPs, without any recomputation."""

from collections.abc import Sequence

import numpy as np

from llava_jax import partition
from llava_jax.models.llava import LlavaConfig


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
    leaves = partition.flatten(params)
    trained = {path for path in leaves if partition.matches(trainable, path)}
    tower_trained = any(path.startswith("vision/") for path in trained)
    products = {"vision": 0, "projector": 0, "language": 0}
    for path, leaf in leaves.items():
        part = path.split("/")[0]
        if path.endswith("/kernel") and "lm_head" not in path:
            forward_only = part == "vision" and not tower_trained
            cost = 2 if forward_only else 6 if path in trained else 4
            products[part] += cost * int(np.prod(leaf.shape))
    language, vision = config.language, config.vision
    head = "language/embed/embedding" if language.tied_head else "language/lm_head/kernel"
    total = tokens * products["language"]
    total += 6 * squared_lengths * language.heads * language.size_of_head * language.depth
    total += (6 if head in trained else 4) * targets * language.vocab_size * language.width
    total += images * config.image_tokens * products["projector"]
    if not cached_features:
        patches = vision.grid**2 + vision.class_token
        attention = (12 if tower_trained else 4) * patches**2 * vision.width * vision.blocks
        total += images * (patches * products["vision"] + attention)
    return float(total)
