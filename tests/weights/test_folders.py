"""A folder's tensors, whichever of the usual files hold them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from llava_jax.errors import UserError
from llava_jax.weights.folders import open_file, open_folder
from tests.weights import tiny

INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["1GB", "20KB"])
def test_what_transformers_saves(tmp_path: Path, safe: bool, size: str):
    model = tiny.llama()
    folder = tiny.save(model, tmp_path, safe_serialization=safe, max_shard_size=size)
    found, wanted = open_folder(folder), model.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name].read(), tensor.numpy())


def fill(folder: Path, name: str, value: float) -> None:
    """Writes one of the files that `open_folder` looks for; its only tensor is `value`."""
    tensors, write = {"a": torch.tensor(value)}, save_file if "safe" in name else torch.save
    if name.endswith(".json"):
        shard = name.replace(".index.json", "").replace("model.", "model-00001-of-00001.")
        write(tensors, folder / shard)
        (folder / name).write_text(json.dumps({"weight_map": {"a": shard}}))
    else:
        write(tensors, folder / name)


def test_safetensors_come_before_torch_s_files_and_whole_files_before_shards(tmp_path: Path):
    order = ("model.safetensors", INDICES[0], "pytorch_model.bin", INDICES[1])
    for value, name in reversed(list(enumerate(order))):
        fill(tmp_path, name, value)
        assert open_folder(tmp_path)["a"].read() == value


@pytest.mark.parametrize("name", INDICES)
def test_a_missing_shard_is_named(tmp_path: Path, name: str):
    fill(tmp_path, name, 0)
    (shard,) = tmp_path.glob("*-00001-of-00001.*")
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing"):
        open_folder(tmp_path)


def without_map(index: dict) -> dict:
    return {}


def with_more(index: dict) -> dict:
    places = index["weight_map"]
    return {"weight_map": places | {"b": places["a"]}}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize(
    ("edit", "message"),
    [(with_more, "names tensors that its shards lack: b"), (without_map, "has no weight_map")],
)
def test_an_index_that_is_wrong(tmp_path: Path, name: str, edit: Callable, message: str):
    fill(tmp_path, name, 0)
    index = tmp_path / name
    index.write_text(json.dumps(edit(json.loads(index.read_text()))))
    with pytest.raises(UserError, match=f"{name} {message}"):
        open_folder(tmp_path)


def test_a_folder_without_tensors_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(UserError, match=r"none of model\.safetensors, .*pytorch_model\.bin\.index"):
        open_folder(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt", ".pth"])
def test_a_file_is_told_by_its_suffix(tmp_path: Path, suffix: str):
    path = tmp_path / f"mm_projector{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"a": torch.arange(3)}, path)
    np.testing.assert_array_equal(open_file(path)["a"].read(), np.arange(3))
    path.unlink()
    with pytest.raises(UserError, match=f"mm_projector{suffix} is missing"):
        open_file(path)


def test_files_of_another_kind(tmp_path: Path):
    with pytest.raises(UserError, match=r"model\.h5: tensors lie in \.safetensors, \.bin"):
        open_file(tmp_path / "model.h5")
