"""Safetensors files as the library has them, without copies and one tensor at a time."""

import json
import shutil
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_in_torch

from llava_jax.errors import UserError
from llava_jax.weights import safetensors_files
from llava_jax.weights.safetensors_files import open_safetensors, write_safetensors
from llava_jax.weights.stored import Source, StoredTensor
from tests.weights import tiny

DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.uint8, np.float64, np.uint16)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {np.dtype(d).name: (9 * rng.random(size=(3, 5))).astype(d) for d in DTYPES}
    return made | {
        "odd": np.arange(3, dtype=np.uint8),
        "scalar": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "hollow": np.zeros((3, 0), ml_dtypes.bfloat16),
        "flags": np.array([True, False]),
        "größe": np.ones(2, np.float32),
    }


def stored(arrays: dict[str, np.ndarray]) -> Source:
    return {name: StoredTensor.of(array) for name, array in arrays.items()}


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].shape == b[name].shape, name
        assert a[name].tobytes() == b[name].tobytes(), name


def test_what_the_library_writes_is_read_in_place(tmp_path: Path):
    save_file(arrays(), tmp_path / "model.safetensors")
    found = open_safetensors(tmp_path / "model.safetensors")
    assert_same({name: tensor.read() for name, tensor in found.items()}, arrays())
    assert not found["float32"].read().flags.owndata
    assert not found["float32"].read().flags.writeable


def test_the_same_bytes_as_the_library_writes(tmp_path: Path):
    told: list[int] = []
    (path,) = write_safetensors(tmp_path, stored(arrays()), progress=told.append)
    assert path == tmp_path / "model.safetensors"
    save_file(arrays(), tmp_path / "theirs", metadata={"format": "pt"})
    assert path.read_bytes() == (tmp_path / "theirs").read_bytes()
    assert told == sorted(told)
    assert told[-1] == sum(array.nbytes for array in arrays().values())


def test_numbers_of_eight_bits(tmp_path: Path):
    values = torch.linspace(-4, 4, 9)
    wanted = {k: values.to(getattr(torch, k)) for k in ("float8_e4m3fn", "float8_e5m2")}
    source = {
        name: StoredTensor.of(tensor.view(torch.uint8).numpy().view(getattr(ml_dtypes, name)))
        for name, tensor in wanted.items()
    }
    (path,) = write_safetensors(tmp_path, source)
    found = load_in_torch(path)
    for name, tensor in wanted.items():
        assert torch.equal(found[name].float(), tensor.float())
        ours = open_safetensors(path)[name].read()
        np.testing.assert_array_equal(ours.astype(np.float32), tensor.float().numpy())


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_views_are_written_as_their_numbers_stand(tmp_path: Path, dtype: type):
    numbers = np.random.default_rng(0).normal(size=(1100, 1300)).astype(dtype)
    views = {
        "transposed": numbers.T,
        "cut": numbers[:, :1000],
        "sparse": numbers[0, ::2],
        "backwards": numbers[::-1],
        "convolution": numbers[:4, :54].reshape(4, 3, 3, 6).transpose(3, 2, 0, 1),
    }
    (path,) = write_safetensors(tmp_path, stored(views))
    assert_same(load_file(path), views)


@pytest.mark.parametrize("size", [20_000, 11_000])  # the second is less than some tensors have
def test_shards_are_those_of_transformers(tmp_path: Path, size: int):
    model = tiny.llama()
    theirs = tiny.save(model, tmp_path / "theirs", max_shard_size=f"{size // 1000}KB")
    source = {k: StoredTensor.of(tensor.numpy()) for k, tensor in model.state_dict().items()}
    ours = tmp_path / "ours"
    ours.mkdir()
    files = write_safetensors(ours, source, shard_bytes=size)
    names = sorted(path.name for path in theirs.glob("*.safetensors"))
    assert sorted(file.name for file in files) == names and len(names) > 2
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    index, wanted = (
        json.loads((folder / "model.safetensors.index.json").read_text())
        for folder in (ours, theirs)
    )
    assert index["weight_map"] == wanted["weight_map"]
    assert index["metadata"]["total_size"] == wanted["metadata"]["total_size"]


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path):
    mebi = 1 << 20

    def read() -> np.ndarray:
        return np.zeros((2048, 4096), np.float32).T

    source = {name: StoredTensor((4096, 2048), np.dtype(np.float32), read) for name in "abc"}
    tracemalloc.start()
    write_safetensors(tmp_path, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 32 * mebi < peak < 38 * mebi


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil._ntuple_diskusage(9, 9, 10**8)
    monkeypatch.setattr(safetensors_files.shutil, "disk_usage", lambda _: usage)
    large = StoredTensor((10**9,), np.dtype(np.float32), lambda: np.zeros(0))
    with pytest.raises(UserError, match=r"needs 4\.0 GB and the disk has 0\.1"):
        write_safetensors(tmp_path, {"a": large})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(UserError, match="could not write"):
        write_safetensors(tmp_path, stored(arrays()))
    with pytest.raises(UserError, match="could not write"):
        write_safetensors(tmp_path / "nowhere", stored(arrays()))


def test_a_dtype_that_the_format_has_not(tmp_path: Path):
    odd = stored({"good": np.zeros(2, np.float32), "odd": np.zeros(2, np.complex128)})
    with pytest.raises(UserError, match="odd is of type complex128"):
        write_safetensors(tmp_path, odd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", [np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float64)])
def test_a_tensor_is_what_it_was_announced_as(tmp_path: Path, array: np.ndarray):
    wrong = StoredTensor((3, 2), np.dtype(np.float32), lambda: array)
    with pytest.raises(ValueError, match="announced as float32"):
        write_safetensors(tmp_path, {"a": wrong})


def by_hand(path: Path, header: str, numbers: bytes) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + numbers)
    return path


def test_a_header_of_any_length(tmp_path: Path):
    """Other writers do not pad it: the numbers then lie anywhere."""
    numbers = np.array([1.5, -2.0], np.float32)
    entry = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    for spaces in range(4):
        path = by_hand(tmp_path / "odd", entry + " " * spaces, numbers.tobytes())
        np.testing.assert_array_equal(open_safetensors(path)["a"].read(), numbers)


def test_a_dtype_that_numpy_has_not(tmp_path: Path):
    entry = '{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    with pytest.raises(UserError, match="a is of type F4"):
        open_safetensors(by_hand(tmp_path / "odd", entry, b"\0"))


def test_damaged_and_missing_files(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file(arrays(), path)
    whole = path.read_bytes()
    for length in (len(whole) - 1, 100, 4, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"model\.safetensors is truncated or damaged"):
            open_safetensors(path)
    with pytest.raises(UserError, match="is missing"):
        open_safetensors(tmp_path / "nowhere.safetensors")
