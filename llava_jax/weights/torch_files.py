"""torch's checkpoint files, without torch, and without running what may be hidden in them.

Such a file is a zip: `data.pkl` is a pickle that says how tensors are made of storages, and the
storages are entries of their own, uncompressed (github.com/pytorch/pytorch, serialization.py). A
pickle can call anything; here it can only write down which part of which storage a tensor is. That
is looked at when the pickle has ended and can change it no more.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from llava_jax.errors import UserError
from llava_jax.weights.safetensors_files import pieces
from llava_jax.weights.stored import Source, StoredTensor

_DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LOCAL_HEADER = 30  # bytes of a zip entry before its name; the last four are two lengths


class _Storage(NamedTuple):
    kind: str
    key: str


class _Tensor(NamedTuple):
    """What a pickle says of a tensor: to be believed only after `_view` has looked at it."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _Names(dict):
    """A state_dict, without the attributes that torch hangs on it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Makes _Names of _Tensors, and nothing else."""

    def __init__(self, data: bytes, path: Path):
        super().__init__(io.BytesIO(data))
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return name
        # New ones each time, so that what a pickle does to them does not last.
        known: dict[str, Any] = {
            "collections.OrderedDict": lambda *items: _Names(*items),
            "torch._utils._rebuild_tensor_v2": lambda *parts: _Tensor(*parts[:4]),
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        }
        if f"{module}.{name}" not in known:
            raise UserError(
                f"{self._path} was not loaded: it calls {module}.{name}, which no plain tensor "
                "needs and which could run code. Save the model's state_dict alone, as safetensors"
            )
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, _ = pid  # "storage", its type, its entry, the device it was on, its length
        return _Storage(kind, key)


def open_torch(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file that torch saved, which stays mapped: reading one copies nothing.

    Raises:
      UserError: it is missing, damaged, of torch's format before 1.6, or holds anything but named
        tensors.
    """
    try:
        return _open(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UserError:
        raise
    except Exception as error:  # there is nothing that a damaged zip or pickle does not raise
        raise UserError(f"{path} is truncated or damaged, fetch it again ({error})") from error


def _open(path: Path) -> dict[str, StoredTensor]:
    with path.open("rb") as file:
        if file.read(1) == pickle.PROTO:
            raise UserError(
                f"{path} was saved in the format before torch 1.6: save it again with a newer "
                "torch, or as safetensors"
            )
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        root = next((n.removesuffix("data.pkl") for n in entries if n.endswith("/data.pkl")), None)
        if root is None:
            raise UserError(f"{path} is a zip file, but none that torch saved")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise UserError(f"{path} was saved on a big-endian machine: save it again on another")
        found = _Unpickler(archive.read(f"{root}data.pkl"), path).load()
        if not isinstance(found, dict):
            raise UserError(f"{path} holds a {type(found).__name__}, not named tensors")
        mapped = np.asarray(np.memmap(path, np.uint8, "r"))
        storages = {
            name.removeprefix(f"{root}data/"): _storage(archive, info, mapped)
            for name, info in entries.items()
            if name.startswith(f"{root}data/")
        }
    return {name: _stored(name, value, storages, path) for name, value in found.items()}


def _storage(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, mapped: np.ndarray) -> np.ndarray:
    """The bytes of an entry: where they lie, or unpacked; torch itself never packs any."""
    if entry.compress_type != zipfile.ZIP_STORED:
        return np.frombuffer(archive.read(entry), np.uint8)
    start = entry.header_offset + _LOCAL_HEADER
    start += int(mapped[start - 4 : start].view("<u2").sum(dtype=np.int64))
    return mapped[start : start + entry.file_size]


def _stored(name: Any, value: Any, storages: dict[str, np.ndarray], path: Path) -> StoredTensor:
    if not isinstance(value, _Tensor) or not isinstance(name, str):
        raise UserError(f"{path}: {name!r} is no tensor. Save the model's state_dict alone")
    if value.storage.key not in storages:
        raise UserError(f"{path} is damaged: the numbers of {name} are missing, fetch it again")
    try:
        return StoredTensor.of(_view(value, storages[value.storage.key]))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged or forged: {name} is {error}") from error


def _view(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """Raises ValueError or TypeError for one that is not within its storage."""
    dtype, (_, offset, shape, strides) = _DTYPES[tensor.storage.kind], tensor
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError("described by other things than natural numbers")
    # In Python's numbers, which do not overflow.
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, dtype)
    if (last + 1) * dtype.itemsize > storage.size:
        raise ValueError("reaching beyond its storage")
    steps = [step * dtype.itemsize for step in strides]
    return np.ndarray(shape, dtype, storage, offset * dtype.itemsize, steps)


def write_torch(path: Path, tensors: Source) -> None:
    """Writes tensors as `torch.save` does a dict of them, through a temporary name.

    Raises:
      UserError: it cannot be written, or a tensor has a dtype that torch has not.
    """
    pickled = _pickled(tensors, path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr(_entry("data.pkl"), pickled)
            archive.writestr(_entry("byteorder"), b"little")
            for key, (name, tensor) in enumerate(tensors.items()):
                with archive.open(_entry(f"data/{key}", tensor.nbytes), "w") as file:
                    for piece in pieces(name, tensor):
                        file.write(piece)
            archive.writestr(_entry("version"), b"3\n")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"could not write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _entry(name: str, size: int = 0) -> zipfile.ZipInfo:
    """An entry without a date: the same tensors make the same file."""
    entry = zipfile.ZipInfo(f"archive/{name}")
    entry.file_size = size  # tells zipfile beforehand whether it takes a 64-bit header
    return entry


def _pickled(tensors: Source, path: Path) -> bytes:
    """The opcodes by hand: the pickle module can only name classes that are there."""
    body = b"".join(
        _text(name) + _pickled_tensor(str(key), name, tensor, path)
        for key, (name, tensor) in enumerate(tensors.items())
    )
    start = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT
    return start + pickle.MARK + body + pickle.SETITEMS + pickle.STOP


def _pickled_tensor(key: str, name: str, tensor: StoredTensor, path: Path) -> bytes:
    if tensor.dtype not in _NAMES:
        raise UserError(f"{path}: {name} is of type {tensor.dtype}, which cannot be written")
    count = int(np.prod(tensor.shape))
    strides = [int(np.prod(tensor.shape[i + 1 :])) for i in range(len(tensor.shape))]
    storage = _tuple(
        _text("storage"),
        _global("torch", _NAMES[tensor.dtype]),
        _text(key),
        _text("cpu"),
        _integer(count),
    )
    no_hooks = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, tensor.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,  # it needs no gradient
        no_hooks,
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def _integer(number: int) -> bytes:
    return pickle.LONG1 + b"\x08" + number.to_bytes(8, "little", signed=True)
