"""Tensors that lie in files: name, shape and type are known, the numbers not yet read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; `read` gives its numbers, from the file each time."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "StoredTensor":
        """One that is in memory already."""
        return cls(array.shape, array.dtype, lambda: array)

    @property
    def nbytes(self) -> int:
        """What its numbers take, in bytes."""
        return self.dtype.itemsize * int(np.prod(self.shape))


Source = Mapping[str, StoredTensor]
