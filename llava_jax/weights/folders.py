"""All tensors of a checkpoint folder, whatever files they lie in."""

from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.weights.hf_configs import read_json
from llava_jax.weights.safetensors_files import open_safetensors
from llava_jax.weights.stored import StoredTensor
from llava_jax.weights.torch_files import open_torch

# The first that is there counts: safetensors before torch's, whole files before shards.
_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_TORCH = (".bin", ".pt", ".pth")


def open_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file; none is read yet.

    Raises:
      UserError: it is missing, damaged or of another kind.
    """
    if path.suffix == ".safetensors":
        return open_safetensors(path)
    if path.suffix in _TORCH:
        return open_torch(path)
    raise UserError(f"{path}: tensors lie in .safetensors, {', '.join(_TORCH)} files")


def open_folder(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint folder, by the names they have in it; none is read yet.

    Raises:
      UserError: a file is missing or damaged.
    """
    found = next((folder / name for name in _FILES if (folder / name).exists()), None)
    if found is None:
        raise UserError(f"{folder} holds no checkpoint: it has none of {', '.join(_FILES)}")
    if found.suffix != ".json":
        return open_file(found)
    places = read_json(found).get("weight_map")
    if not isinstance(places, dict):
        raise UserError(f"{found} has no weight_map, fetch it again")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        tensors |= open_file(folder / shard)
    absent = sorted(set(places) - set(tensors))
    if absent:
        raise UserError(f"{found} names tensors that its shards lack: {', '.join(absent[:20])}")
    return tensors
