"""A LLaVA as it lies on disk, whatever its dialect: what the converter reads and writes.

Its tensors have our names and forms and are read one at a time, so a conversion never holds more
than one of them.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from llava_jax.errors import UserError
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.vision import VisionConfig
from llava_jax.partition import unflatten
from llava_jax.weights.rules import Placement, read
from llava_jax.weights.shapes import llava_shapes
from llava_jax.weights.stored import Source, StoredTensor

EMBEDDING, HEAD = "language/embed/embedding", "language/lm_head/kernel"
_CHUNK = 4096  # vocabulary rows that are summed in float64 at a time


@dataclass(frozen=True)
class Usage:
    """How a checkpoint is talked to: what no tensor says.

    template, image_wrap: as in text/templates.py. as_trained: whether prompts are worded as in
    training (`text.encode.encode_prompt`), which this project's models want. image_mode: of
    images.py. tower: where the vision tower came from, a hub's name or a folder. image_token,
    pad_token: their ids, where the vocabulary has them. vocabulary: ids in use; rows beyond are
    padding.
    """

    template: str = "vicuna_v1"
    image_mode: str = "pad"
    image_wrap: tuple[str, str] = ("", "")
    as_trained: bool = False
    tower: str = ""
    image_token: int | None = None
    pad_token: int | None = None
    vocabulary: int = 0


@dataclass(frozen=True)
class StoredLlava:
    """Configuration, tensors and use of a LLaVA.

    tensors: by our paths, unrolled layout; also the blocks and the norm of the tower that LLaVA
      does not read (block 24 and post_layernorm of CLIP), where the source has them.
    tokenizer: where it lies (`weights.tokenizers`), None where there is none.
    left_out: names in the source that have no place here (buffers, the text half of a CLIP).
    """

    config: LlavaConfig
    tensors: Source
    usage: Usage = field(default_factory=Usage)
    tokenizer: Path | None = None
    left_out: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


def whole_tower(config: VisionConfig) -> VisionConfig:
    """The tower with every block and its final norm, as other projects keep it."""
    return dataclasses.replace(config, feature_layers=(-1,), post_norm=True)


def whole(config: LlavaConfig) -> LlavaConfig:
    """The configuration with the parts of the tower that LLaVA does not read."""
    return dataclasses.replace(config, vision=whole_tower(config.vision))


def load(
    llava: StoredLlava,
    *,
    scan_layers: bool = False,
    dtype: Any = None,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """The parameters of `Llava(llava.config)`, without what the model does not read.

    Args:
      scan_layers: whether layers come stacked on axis 0.
      dtype: what to convert to; None keeps the stored one.
      placement: the sharding of each path (layout as asked for): leaves become jax arrays, each
        device reading its own shard; None leaves numpy arrays.
    """
    tensors = {path: llava.tensors[path] for path in llava_shapes(llava.config)}
    return unflatten(dict(read(tensors, scan_layers=scan_layers, dtype=dtype, placement=placement)))


def pad_vocabulary(llava: StoredLlava, rows: int) -> StoredLlava:
    """The same with `rows` rows in embedding and head; the new ones are the mean of the old.

    The mean keeps a padded id from ever being likelier than a word, and is the same every time.
    """
    old = llava.config.language.vocab_size
    if rows < old:
        raise ValueError(f"{rows} rows are fewer than the {old} there are")
    return _with_rows(llava, rows, lambda x: _padded(x, rows))


def cut_vocabulary(llava: StoredLlava, rows: int) -> StoredLlava:
    """The same with only the first `rows` rows of embedding and head: undoes the padding."""
    return _with_rows(llava, rows, lambda x: x[:rows])


def _with_rows(llava: StoredLlava, rows: int, change: Any) -> StoredLlava:
    if rows == llava.config.language.vocab_size:
        return llava
    tensors = dict(llava.tensors)
    for path, axis in ((EMBEDDING, 0), (HEAD, 1)):
        if path in tensors:
            tensors[path] = _resized(tensors[path], rows, axis, change)
    language = dataclasses.replace(llava.config.language, vocab_size=rows)
    config = dataclasses.replace(llava.config, language=language)
    return dataclasses.replace(llava, config=config, tensors=tensors)


def _resized(tensor: StoredTensor, rows: int, axis: int, change: Any) -> StoredTensor:
    shape = (rows, tensor.shape[1]) if axis == 0 else (tensor.shape[0], rows)

    def read() -> np.ndarray:
        array = tensor.read()
        return change(array) if axis == 0 else change(array.T).T

    return StoredTensor(shape, tensor.dtype, read)


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    """[v, d] -> [rows, d]."""
    total = np.zeros(array.shape[1], np.float64)
    for first in range(0, len(array), _CHUNK):
        total += array[first : first + _CHUNK].astype(np.float64).sum(0)
    padded = np.empty((rows, array.shape[1]), array.dtype)
    padded[: len(array)] = array
    padded[len(array) :] = (total / len(array)).astype(array.dtype)
    return padded


def in_dtype(llava: StoredLlava, dtype: Any) -> StoredLlava:
    """The same with floating-point tensors of another dtype."""
    dtype = np.dtype(dtype)

    def cast(tensor: StoredTensor) -> StoredTensor:
        if not jax.numpy.issubdtype(tensor.dtype, jax.numpy.floating):
            raise UserError(f"cannot convert {tensor.dtype} to {dtype}: it is no floating point")
        return StoredTensor(tensor.shape, dtype, lambda: tensor.read().astype(dtype, copy=False))

    tensors = {path: cast(tensor) for path, tensor in llava.tensors.items()}
    return dataclasses.replace(llava, tensors=tensors)
