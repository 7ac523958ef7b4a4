"""Safetensors files: read where they lie, written one tensor at a time.

The format is a length, a JSON header with each tensor's dtype, shape and place, and the numbers
(github.com/huggingface/safetensors).
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from llava_jax.errors import UserError
from llava_jax.weights.stored import Source, StoredTensor

# In the library's order, the narrowest first: its files begin with the last of them.
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(_DTYPES.values())}
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ALIGNMENT = 8  # bytes; a mapped file's tensors can then be used where they lie
_PIECE = 1 << 21  # bytes written at a time
_TILE = 64  # columns turned at a time


def open_safetensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file, which stays mapped: reading one copies nothing.

    Raises:
      UserError: it is missing, truncated, damaged, or holds a dtype that numpy has not.
    """
    try:
        with safe_open(path, framework="np"):  # finds what is wrong with a file
            mapped = np.asarray(np.memmap(path, np.uint8, "r"))
        length = int(mapped[:8].view("<u8")[0])
        header = json.loads(mapped[8 : 8 + length].tobytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is truncated or damaged, fetch it again ({error})") from error
    header.pop("__metadata__", None)
    numbers = mapped[8 + length :]
    return {name: _tensor(numbers, name, entry, path) for name, entry in header.items()}


def _tensor(numbers: np.ndarray, name: str, entry: dict[str, Any], path: Path) -> StoredTensor:
    if entry["dtype"] not in _DTYPES:
        raise UserError(f"{path}: {name} is of type {entry['dtype']}, which cannot be read")
    begin, end = entry["data_offsets"]
    array = numbers[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return StoredTensor.of(array)


def write_safetensors(
    folder: Path,
    tensors: Source,
    *,
    shard_bytes: int = 5_000_000_000,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Writes model.safetensors, or shards with an index; holds one tensor at a time.

    Args:
      shard_bytes: what a file may hold; a single larger tensor gets a file of its own.
      progress: is told the bytes written so far.
    Returns:
      the files with tensors.
    Raises:
      UserError: the disk has no room, or a tensor has a dtype that the format has not; then
        nothing was written.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise UserError(f"{folder}: {name} is of type {tensor.dtype}, which cannot be written")
    needed = sum(tensor.nbytes for tensor in tensors.values())
    try:
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise UserError(
                f"{folder} needs {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f}: make room"
            )
        shards = _shards(tensors, shard_bytes)
        done = 0
        for name, shard in shards.items():
            done = _write_file(folder / name, shard, done, progress)
        if len(shards) > 1:
            places = {t: name for name, shard in shards.items() for t in shard}
            index = {"metadata": {"total_size": needed}, "weight_map": dict(sorted(places.items()))}
            (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"could not write to {folder}: {error}") from error
    return [folder / name for name in shards]


def _shards(tensors: Source, most: int) -> dict[str, dict[str, StoredTensor]]:
    """Which file holds what, divided as transformers does."""
    shards: list[dict[str, StoredTensor]] = []
    last: dict[str, StoredTensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if tensor.nbytes > most:
            shards.append({name: tensor})
            continue
        if size + tensor.nbytes > most:
            shards.append(last)
            last, size = {}, 0
        last[name] = tensor
        size += tensor.nbytes
    if last or not shards:
        shards.append(last)
    if len(shards) == 1:
        return {_WHOLE: shards[0]}
    count = len(shards)
    return {f"model-{i:05}-of-{count:05}.safetensors": s for i, s in enumerate(shards, 1)}


def _write_file(
    path: Path, tensors: Source, done: int, progress: Callable[[int], None] | None
) -> int:
    """Writes a file; returns the bytes written so far."""
    # The widest numbers first: each stays aligned to its own width.
    order = sorted(tensors, key=lambda name: (-_RANKS[tensors[name].dtype], name))
    with path.open("wb") as file:
        file.write(_header({name: tensors[name] for name in order}))
        for name in order:
            for piece in pieces(name, tensors[name]):
                file.write(piece)
            done += tensors[name].nbytes
            if progress:
                progress(done)
    return done


def _header(tensors: Source) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def pieces(name: str, tensor: StoredTensor) -> Iterator[memoryview]:
    """Reads a tensor and gives its bytes, row by row, whatever order they have in memory.

    A transposed array is turned piece by piece, in tiles that fit the cache.

    Raises:
      ValueError: the tensor is not what it was announced as.
    """
    array = tensor.read()
    if array.shape != tensor.shape or array.dtype != tensor.dtype:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}, announced as {tensor.dtype} {tensor.shape}"
        )
    # As plain integers: no file takes bfloat16.
    array = np.atleast_1d(array).view(f"u{array.dtype.itemsize}")
    rows = max(1, _PIECE * len(array) // max(1, array.nbytes))
    for first in range(0, len(array), rows):
        piece = array[first : first + rows]
        if not piece.flags.c_contiguous:
            turned = np.empty(piece.shape, piece.dtype)
            for left in range(0, piece.shape[-1], _TILE):
                tile = np.s_[..., left : left + _TILE]
                turned[tile] = piece[tile]
            piece = turned
        yield piece.data
