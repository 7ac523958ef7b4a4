"""The static batch from short lists of token ids, and the loss over it."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llava_jax.text.encode import Encoded, ImageLayout, expand_images
from llava_jax.text.templates import IMAGE

IGNORE = -100


def make_batch(
    rows: Sequence[Sequence[int]],
    per_image: int,
    images: np.ndarray,
    *,
    layouts: Sequence[ImageLayout] | None = None,
    learned: Sequence[Sequence[bool]] | None = None,
    slots: int | None = None,
    length: int | None = None,
    left: bool = False,
) -> dict[str, jax.Array]:
    """Rows of ids with IMAGE in them -> a batch padded to one length.

    Args:
      per_image: features of each image [H,W,3].
      images: of all rows in reading order [n,H,W,3]; each row takes as many as it has IMAGEs.
      layouts: of the IMAGEs, whose views `images` are then; None is one view for each.
      learned: which ids are to be predicted; None is all words.
      slots: image slots a row; None is the most that any row needs (at least one).
      length: positions a row, what is longer is cut off; None is the longest row.
      left: padding before the words instead of after them.
    """
    if learned is None:
        learned = [[token != IMAGE for token in row] for row in rows]
    encoded = [Encoded(np.int32(a), np.array(b)) for a, b in zip(rows, learned, strict=True)]
    markers = [list(row).count(IMAGE) for row in rows]
    if layouts is None:
        layouts = [ImageLayout.plain(per_image)] * sum(markers)
    remaining = iter(layouts)
    apart = [list(islice(remaining, count)) for count in markers]
    expanded = [
        expand_images(e, mine, pad_id=0, max_length=length)
        for e, mine in zip(encoded, apart, strict=True)
    ]
    counts = [sum(layout.features for layout in mine) // per_image for mine in apart]
    shape = (len(rows), length or max(len(e.tokens) for e in expanded))
    batch: dict[str, Any] = {
        "tokens": np.zeros(shape, np.int32),
        "positions": np.zeros(shape, np.int32),
        "segments": np.zeros(shape, np.int32),
        "image_slots": np.full(shape, -1, np.int32),
        "loss_weights": np.zeros(shape, np.float32),
        "lengths": np.zeros(len(rows), np.int32),
        "images": np.zeros((len(rows), slots or max(1, *counts), *images.shape[1:]), images.dtype),
    }
    first = 0
    for i, (row, count) in enumerate(zip(expanded, counts, strict=True)):
        size = len(row.tokens)
        place = slice(shape[1] - size, shape[1]) if left else slice(0, size)
        batch["tokens"][i, place] = row.tokens
        batch["positions"][i, place] = np.arange(size)
        batch["segments"][i, place] = 1
        batch["image_slots"][i, place] = row.image_slots
        batch["loss_weights"][i, place] = row.loss_mask
        batch["lengths"][i] = size
        batch["images"][i, :count] = images[first : first + count]
        first += count
    return jax.tree.map(jnp.asarray, batch)


def labels(batch: dict[str, jax.Array]) -> np.ndarray:
    """As torch wants them: the token where it is learned, else IGNORE."""
    return np.where(batch["loss_weights"] > 0, batch["tokens"], IGNORE)


def mean_loss(logits: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """Cross-entropy of each next token, a mean over all that are learned."""
    scores = jax.nn.log_softmax(logits[:, :-1])
    picked = jnp.take_along_axis(scores, batch["tokens"][:, 1:, None], axis=-1)[..., 0]
    weights = batch["loss_weights"][:, 1:]
    return -(picked * weights).sum() / weights.sum()
