"""torch's files, read and written without torch, and never run."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from llava_jax.errors import UserError
from llava_jax.weights.stored import StoredTensor
from llava_jax.weights.torch_files import open_torch, write_torch


def saved(value: object, folder: Path, **options: Any) -> Path:
    path = folder / "pytorch_model.bin"
    torch.save(value, path, **options)
    return path


def state() -> OrderedDict[str, torch.Tensor]:
    torch.manual_seed(0)
    shared = torch.randn(4, 6)
    return OrderedDict(
        f64=torch.randn(2, 2).double(),
        f32=torch.randn(3, 5),
        f16=torch.randn(7).half(),
        bf16=torch.randn(2, 3).bfloat16(),
        i64=torch.arange(5),
        flag=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        transposed=torch.randn(3, 4).T,
        turned=torch.randn(2, 3, 4).bfloat16().permute(2, 0, 1),
        expanded=torch.randn(3, 1).expand(3, 4),
        part=shared[1:3, ::2],
        whole=shared,
        parameter=torch.nn.Parameter(torch.randn(2)),
    )


def as_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(array)


def assert_read(path: Path, wanted: dict[str, torch.Tensor]) -> None:
    found = open_torch(path)
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        array = found[name].read()
        assert found[name].shape == array.shape == tuple(tensor.shape)
        assert found[name].dtype == array.dtype
        assert torch.equal(as_torch(array), tensor.detach()), name


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_torch_saves_is_read(tmp_path: Path, protocol: int):
    assert_read(saved(state(), tmp_path, pickle_protocol=protocol), state())
    assert_read(saved(dict(state()), tmp_path, pickle_protocol=protocol), state())


def test_a_module_s_state(tmp_path: Path):
    """It carries versions as an attribute."""
    wanted = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).state_dict()
    assert_read(saved(wanted, tmp_path), wanted)


def test_what_is_written_torch_reads(tmp_path: Path):
    path = tmp_path / "mm_projector.bin"
    source = open_torch(saved(state(), tmp_path))
    write_torch(path, source)
    for mmap in (False, True):
        found = torch.load(path, weights_only=True, mmap=mmap)
        assert type(found) is dict and list(found) == list(state())
        for name, tensor in state().items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor.detach()), name
    assert_read(path, state())
    assert not list(tmp_path.glob("*.partial"))


def test_no_tensors_at_all(tmp_path: Path):
    path = tmp_path / "none.bin"
    write_torch(path, {})
    assert torch.load(path, weights_only=True) == {} == open_torch(path)


def test_numbers_stay_in_the_file(tmp_path: Path):
    array = open_torch(saved({"big": torch.zeros(1000, 1000)}, tmp_path))["big"].read()
    assert not array.flags.writeable
    while isinstance(array.base, np.ndarray):
        array = array.base
    assert isinstance(array, np.memmap)


class Malicious:
    def __init__(self, call: Callable, *arguments: str):
        self.call = call, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("call", [os.system, os.mkdir])
def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable):
    monkeypatch.chdir(tmp_path)
    argument = "touch owned" if call is os.system else "owned"
    path = saved({"a": torch.zeros(2), "b": Malicious(call, argument)}, tmp_path)
    with pytest.raises(UserError, match=rf"was not loaded: it calls \w+\.{call.__name__}"):
        open_torch(path)
    assert not (tmp_path / "owned").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "owned").exists()  # it would have done


def test_a_class_is_refused_too(tmp_path: Path):
    path = saved({"a": torch.zeros(2), "b": Path("c")}, tmp_path)
    with pytest.raises(UserError, match=r"it calls pathlib\.PosixPath"):
        open_torch(path)


Entries = dict[str, bytes]


def rewritten(path: Path, edit: Callable[[Entries], Entries], **options: Any) -> Path:
    """The file with what `edit` makes of its entries, by their names below the root."""
    with zipfile.ZipFile(path) as archive:
        entries = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in edit(entries).items():
            archive.writestr(f"pytorch_model/{name}", data)
    return path


def test_entries_that_are_packed(tmp_path: Path):
    path = saved(state(), tmp_path)
    assert_read(rewritten(path, lambda e: e, compression=zipfile.ZIP_DEFLATED), state())


SHAPE, STRIDES = b"K\x04\x85", b"K\x01\x85"  # (4,) and (1,) in a pickle


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({SHAPE: b"K\x05\x85"}, "beyond its storage"),
        ({STRIDES: b"K\x02\x85"}, "beyond its storage"),
        ({b"K\x00" + SHAPE: b"K\x01" + SHAPE}, "beyond its storage"),
        # Four bytes times 2**62 are none in 64 bits.
        ({STRIDES: b"\x8a\x08" + (1 << 62).to_bytes(8, "little") + b"\x85"}, "beyond its storage"),
        ({b"K\x00" + SHAPE: b"J\xff\xff\xff\xff" + SHAPE}, "natural numbers"),
        ({SHAPE: b"J\xff\xff\xff\xff\x85"}, "natural numbers"),
        ({SHAPE: b"G\x40\x10" + bytes(6) + b"\x85"}, "natural numbers"),
        ({SHAPE: b"K\x02K\x02\x86"}, "damaged or forged"),
        ({SHAPE: b"K\x04"}, "damaged or forged"),
        ({b"FloatStorage": b"DoubleStorage"}, "beyond its storage"),
        ({b"torch\nFloatStorage": b"torch\nFloatTensor"}, r"calls torch\.FloatTensor"),
    ],
)
def test_forged_tensors_are_refused(tmp_path: Path, changes: dict[bytes, bytes], message: str):
    def edit(entries: Entries) -> Entries:
        pickled = entries["data.pkl"]
        for old, new in changes.items():
            assert pickled.count(old) == 1
            pickled = pickled.replace(old, new)
        return entries | {"data.pkl": pickled}

    with pytest.raises(UserError, match=message):
        open_torch(rewritten(saved({"a": torch.zeros(4)}, tmp_path), edit))


def test_a_pickle_cannot_change_a_tensor_that_was_looked_at(tmp_path: Path):
    """The shape is a list, in which a 4 becomes a 9 once the tensor is made."""

    def edit(entries: Entries) -> Entries:
        before, after = entries["data.pkl"].split(SHAPE)
        assert after[:1] == pickle.BINPUT  # which is the shape's place in the memo
        later = pickle.BINGET + after[1:2] + b"K\x00K\x09" + pickle.SETITEM + pickle.POP
        return entries | {"data.pkl": before + b"](K\x04e" + after[:-1] + later + pickle.STOP}

    with pytest.raises(UserError, match="beyond its storage"):
        open_torch(rewritten(saved({"a": torch.zeros(4)}, tmp_path), edit))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data/0": None}, "damaged: the numbers of a are missing"),
        ({"data/0": bytes(15)}, "beyond its storage"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"byteorder": None}, None),
        ({"data.pkl": None}, "is a zip file, but none that torch saved"),
        ({"data.pkl": b"\x80\x02}"}, "truncated or damaged"),
        ({"data.pkl": b"\x80\x02\x8a"}, "truncated or damaged"),
        ({"data.pkl": b""}, "truncated or damaged"),
    ],
)
def test_entries_that_are_lost_or_wrong(
    tmp_path: Path, changes: dict[str, bytes | None], message: str | None
):
    def edit(entries: Entries) -> Entries:
        return {name: data for name, data in (entries | changes).items() if data is not None}

    path = rewritten(saved({"a": torch.zeros(4)}, tmp_path), edit)
    if message is None:  # as before torch 2.1
        assert_read(path, {"a": torch.zeros(4)})
    else:
        with pytest.raises(UserError, match=message):
            open_torch(path)


def test_damage_is_named(tmp_path: Path):
    path = saved(state(), tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], whole[:30], b"", b"<html>"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"pytorch_model\.bin is truncated or damaged"):
            open_torch(path)
    with pytest.raises(UserError, match="is missing"):
        open_torch(tmp_path / "nowhere.bin")


def test_the_format_before_torch_1_6(tmp_path: Path):
    path = saved({"a": torch.zeros(2)}, tmp_path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"format before torch 1\.6: save it again"):
        open_torch(path)


def test_anything_but_named_tensors_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="'epoch' is no tensor"):
        open_torch(saved({"a": torch.zeros(1), "epoch": 3}, tmp_path))
    with pytest.raises(UserError, match="'model' is no tensor"):
        open_torch(saved({"model": state()}, tmp_path))
    with pytest.raises(UserError, match="3 is no tensor"):
        open_torch(saved({3: torch.zeros(1)}, tmp_path))
    with pytest.raises(UserError, match="holds a list"):
        open_torch(saved([torch.zeros(1)], tmp_path))


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path):
    path = tmp_path / "odd.bin"
    with pytest.raises(UserError, match="odd is of type uint32"):
        write_torch(path, {"odd": StoredTensor.of(np.zeros(2, np.uint32))})
    wrong = StoredTensor((3,), np.dtype(np.float32), lambda: np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="announced as float32"):
        write_torch(path, {"a": wrong})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="could not write"):
        write_torch(tmp_path / "nowhere" / "a.bin", {})
