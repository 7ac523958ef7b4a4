"""Numbers that are none: NaN and infinity, found while a tensor is read."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from llava_jax.errors import UserError
from llava_jax.weights.stored import StoredTensor

_CHUNK = 1 << 20  # elements looked at together: what a test makes of them stays small
# In these a number whose exponent is all ones is none; numpy's own test of them is slower by far.
_EXPONENTS = {np.dtype(np.float16): 0x7C00, np.dtype(ml_dtypes.bfloat16): 0x7F80}


def finite(name: str, tensor: StoredTensor) -> StoredTensor:
    """The same tensor, which refuses to be read when it holds NaN or infinity (UserError)."""
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        return tensor

    def read() -> np.ndarray:
        array = tensor.read()
        if not _is_finite(array):
            raise UserError(
                f"{name} holds NaN or infinity: the checkpoint is damaged, or its training failed"
            )
        return array

    return replace(tensor, read=read)


def _is_finite(array: np.ndarray) -> bool:
    exponent = _EXPONENTS.get(array.dtype)
    if exponent is None:
        return all(np.isfinite(chunk).all() for chunk in _chunks(array))
    mask = np.uint16(exponent)
    return all(((chunk & mask) != mask).all() for chunk in _chunks(array.view(np.uint16)))


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The elements, so many at a time, in the order of the memory: a transposed view stays one."""
    chunks: Any = np.nditer(
        array, ["external_loop", "buffered", "zerosize_ok"], order="K", buffersize=_CHUNK
    )
    yield from chunks
