"""Checkpoint folders of safetensors: towers, decoders and whole LLaVAs.

A folder holds config.json and model.safetensors, or shards with an index. Which naming a LLaVA is
in is told by its tensors, never by the folder's name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from llava_jax.errors import UserError
from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.vision import VisionConfig
from llava_jax.partition import unflatten
from llava_jax.weights.dialects import language_table, recognise, vision_table
from llava_jax.weights.hf_configs import (
    Json,
    language_config,
    llava_config,
    original_config,
    read_json,
    vision_config,
)
from llava_jax.weights.rules import Source, StoredTensor, Table, check, read
from llava_jax.weights.shapes import Shapes, language_shapes, llava_shapes, vision_shapes

# The other half of a CLIP or SigLIP checkpoint, which no LLaVA has.
TEXT_HALF = (
    r"text_model\..*",
    r"(text_projection|visual_projection)\.weight",
    r"logit_(scale|bias)",
)


def _open_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file; the file stays memory-mapped and each is read when asked for."""

    def reader(file: Any, name: str) -> Callable[[], np.ndarray]:
        return lambda: file.get_tensor(name)

    try:
        file = safe_open(path, framework="np")
        return {
            name: StoredTensor(tuple(file.get_slice(name).get_shape()), reader(file, name))
            for name in file.keys()  # noqa: SIM118 (it is no mapping)
        }
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is truncated or damaged, fetch it again ({error})") from error


def open_folder(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint folder, by the names they have in it; none is read yet.

    Raises:
      UserError where a file is missing or damaged.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists():
        return _open_file(whole)
    if not index.exists():
        raise UserError(f"{folder} has neither {whole.name} nor {index.name}")
    places: dict[str, str] = read_json(index).get("weight_map", {})
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(places.values())):
        tensors |= _open_file(folder / shard)
    absent = sorted(set(places) - set(tensors))
    if absent:
        raise UserError(f"{index} names tensors that its shards lack: {', '.join(absent[:20])}")
    return tensors


def _processor(folder: Path) -> Json:
    """The image processor's settings: its own file, or within transformers 5's one file."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            return read_json(folder / name)
    return {}


def _load(
    table: Table, shapes: Shapes, source: Source, folder: Path, scan_layers: bool, dtype: Any
) -> dict[str, Any]:
    check(table, shapes, source, str(folder))
    return unflatten(dict(read(table, source, scan_layers=scan_layers, dtype=dtype)))


def _tower_prefix(source: Source) -> str:
    """What stands before the tower's names: transformers 5 drops it where the tower is alone."""
    return "vision_model." if any(n.startswith("vision_model.") for n in source) else ""


def load_vision(
    folder: Path | str,
    *,
    config: VisionConfig | None = None,
    scan_layers: bool = False,
    dtype: Any = None,
) -> tuple[VisionConfig, dict[str, Any]]:
    """Reads a tower: CLIPVisionModel, SiglipVisionModel (or the whole CLIP, SigLIP), Dinov2Model.

    Args:
      config: instead of the folder's (`read_vision_config`), for another selected layer or
        another image size.
      scan_layers: whether layers come stacked on axis 0.
      dtype: what to convert to; None keeps the stored one.
    Returns:
      the configuration and the parameters below `vision/`, numpy arrays.
    Raises:
      UserError naming tensors that are missing, unknown or misshapen.
    """
    folder = Path(folder)
    config = config or read_vision_config(folder)
    source = open_folder(folder)
    table = vision_table(config).under("", _tower_prefix(source)) | Table({}, TEXT_HALF)
    return config, _load(table, vision_shapes(config), source, folder, scan_layers, dtype)


def read_vision_config(folder: Path | str) -> VisionConfig:
    """The configuration of a tower's folder; the selected feature is LLaVA's default for it."""
    folder = Path(folder)
    return vision_config(read_json(folder / "config.json"), _processor(folder))


def load_language(
    folder: Path | str, *, scan_layers: bool = False, dtype: Any = None
) -> tuple[LanguageConfig, dict[str, Any]]:
    """Reads a LlamaForCausalLM: Vicuna, Llama 2 and 3, SmolLM2.

    Arguments and errors as for `load_vision`; the parameters are those below `language/`.
    """
    folder = Path(folder)
    config = language_config(read_json(folder / "config.json"))
    table, shapes = language_table(config), language_shapes(config)
    return config, _load(table, shapes, open_folder(folder), folder, scan_layers, dtype)


def load_llava(
    folder: Path | str,
    *,
    vision_folder: Path | str | None = None,
    scan_layers: bool = False,
    dtype: Any = None,
) -> tuple[LlavaConfig, dict[str, Any]]:
    """Reads a whole LLaVA: llava-hf as transformers 4 or 5 names it, or the original's layout.

    Arguments and errors as for `load_vision`; the parameters are those of `Llava`.

    Args:
      vision_folder: the tower's own folder. The original layout needs it, for the tower's
        configuration and, where the checkpoint holds no (tuned) tower, for its weights.
    """
    folder = Path(folder)
    raw = read_json(folder / "config.json")
    source = open_folder(folder)
    dialect = recognise(source, str(folder))
    if dialect.name == "original":
        if vision_folder is None:
            raise UserError(
                f"{folder} is in the original layout, which leaves out its vision tower's "
                f"configuration: pass the folder of {raw.get('mm_vision_tower')} as well"
            )
        tower_folder = Path(vision_folder)
        tower = read_json(tower_folder / "config.json")
        config = original_config(raw, tower, _processor(tower_folder))
        if not any(name.startswith(dialect.vision) for name in source):
            tensors = open_folder(tower_folder)
            prefix = _tower_prefix(tensors)
            source |= {
                dialect.vision + name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    else:
        config = llava_config(raw, _processor(folder))
    table, shapes = dialect.table(config), llava_shapes(config)
    return config, _load(table, shapes, source, folder, scan_layers, dtype)
