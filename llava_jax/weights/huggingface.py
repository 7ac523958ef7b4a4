"""Checkpoint folders of other projects: towers, decoders and whole LLaVAs.

A folder holds config.json and tensors (`folders.open_folder`). Which naming a LLaVA is in is told
by its tensors, never by the folder's name.
"""

from pathlib import Path
from typing import Any

from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.vision import VisionConfig
from llava_jax.partition import unflatten
from llava_jax.weights.dialects import (
    ORIGINAL,
    Dialect,
    language_table,
    recognise,
    vision_table,
)
from llava_jax.weights.folders import open_folder
from llava_jax.weights.hf_configs import (
    Json,
    language_config,
    llava_config,
    original_config,
    read_json,
    vision_config,
)
from llava_jax.weights.hub import find_tower
from llava_jax.weights.rules import Table, as_ours, check, read
from llava_jax.weights.shapes import Shapes, language_shapes, llava_shapes, vision_shapes
from llava_jax.weights.stored import Source, StoredTensor
from llava_jax.weights.stored_llava import StoredLlava, Usage, load, whole, whole_tower
from llava_jax.weights.tokenizers import tokenizer_in

# The other half of a CLIP or SigLIP checkpoint, which no LLaVA has.
TEXT_HALF = (
    r"text_model\..*",
    r"(text_projection|visual_projection)\.weight",
    r"logit_(scale|bias)",
)


def _processor(folder: Path) -> Json:
    """The image processor's settings: its own file, or within transformers 5's one file."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            processor = read_json(folder / name)
            return processor.get("image_processor", processor)
    return {}


def _open(
    read_part: tuple[Table, Shapes], all_of_it: tuple[Table, Shapes], source: Source, where: Path
) -> dict[str, StoredTensor]:
    """Our tensors; with the tower's unread blocks where the source has them all."""
    wanted = {name for name, _ in all_of_it[0].names.values()}
    table, shapes = all_of_it if wanted <= source.keys() else read_part
    check(table, shapes, source, str(where))
    return as_ours(table, source)


def _tower_prefix(source: Source) -> str:
    """What stands before the tower's names: transformers 5 drops it where the tower is alone."""
    return "vision_model." if any(n.startswith("vision_model.") for n in source) else ""


def open_vision(
    folder: Path | str, config: VisionConfig | None = None
) -> tuple[VisionConfig, dict[str, StoredTensor]]:
    """A tower: CLIPVisionModel, SiglipVisionModel (or the whole CLIP, SigLIP), Dinov2Model.

    Args:
      config: instead of the folder's (`read_vision_config`), for another selected layer or
        another image size.
    Returns:
      the configuration and the tensors by our paths below `vision/`.
    Raises:
      UserError naming tensors that are missing, unknown or misshapen.
    """
    folder = Path(folder)
    config = config or read_vision_config(folder)
    source = open_folder(folder)

    def part(config: VisionConfig) -> tuple[Table, Shapes]:
        table = vision_table(config).under("", _tower_prefix(source))
        return table | Table({}, TEXT_HALF), vision_shapes(config)

    return config, _open(part(config), part(whole_tower(config)), source, folder)


def read_vision_config(folder: Path | str) -> VisionConfig:
    """The configuration of a tower's folder; the selected feature is LLaVA's default for it."""
    folder = Path(folder)
    return vision_config(read_json(folder / "config.json"), _processor(folder))


def open_language(folder: Path | str) -> tuple[LanguageConfig, dict[str, StoredTensor]]:
    """A LlamaForCausalLM: Vicuna, Llama 2 and 3, SmolLM2; as `open_vision`, below `language/`."""
    folder = Path(folder)
    config = language_config(read_json(folder / "config.json"))
    table, source = language_table(config), open_folder(folder)
    check(table, language_shapes(config), source, str(folder))
    return config, as_ours(table, source)


def open_llava(folder: Path | str, vision_folder: Path | str | None = None) -> StoredLlava:
    """A whole LLaVA: llava-hf as transformers 4 or 5 names it, or the original's layout.

    Args:
      vision_folder: the tower's own folder, for a checkpoint in the original layout: its
        configuration and, where the checkpoint holds no (tuned) tower, its weights. None: where
        config.json says.
    Raises:
      UserError naming tensors that are missing, unknown or misshapen.
    """
    folder = Path(folder)
    raw, source = read_json(folder / "config.json"), open_folder(folder)
    dialect = recognise(source, str(folder))
    if dialect is ORIGINAL:
        name = raw.get("mm_vision_tower") or ""
        tower = Path(vision_folder) if vision_folder else find_tower(folder, name)
        config = original_config(raw, read_json(tower / "config.json"), _processor(tower))
        if not any(name.startswith(dialect.vision) for name in source):
            source = source | _tower_of(tower, dialect)
        usage = _original_usage(raw)
    else:
        config, usage = llava_config(raw, _processor(folder)), _hf_usage(raw, _processor(folder))
    everything = dialect.table(whole(config)), llava_shapes(whole(config))
    tensors = _open((dialect.table(config), llava_shapes(config)), everything, source, folder)
    named = {name for name, _ in everything[0].names.values()}
    left_out = tuple(sorted(source.keys() - named))
    return StoredLlava(config, tensors, usage, tokenizer_in(folder), left_out)


def _tower_of(folder: Path, dialect: Dialect) -> dict[str, StoredTensor]:
    """A tower's tensors as they are called inside a LLaVA of the dialect."""
    tensors = open_folder(folder)
    prefix = _tower_prefix(tensors)
    return {
        dialect.vision + name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _hf_usage(raw: Json, processor: Json) -> Usage:
    text = raw.get("text_config") or {}
    token = raw.get("image_token_index", raw.get("image_token_id"))
    return Usage(
        image_mode="pad" if processor.get("do_pad") else "crop",
        image_token=32000 if token is None else token,
        pad_token=raw.get("pad_token_id", text.get("pad_token_id")),
        vocabulary=raw.get("unpadded_vocab_size", 0),
    )


def _original_usage(raw: Json) -> Usage:
    wrapped = bool(raw.get("mm_use_im_start_end"))
    return Usage(
        image_mode="pad" if raw.get("image_aspect_ratio") == "pad" else "crop",
        image_wrap=("<im_start>", "<im_end>") if wrapped else ("", ""),
        tower=raw.get("mm_vision_tower") or "",
        # Written by this project's export alone; the pad token of other files is unk.
        image_token=raw.get("image_token_index"),
        pad_token=raw.get("pad_token_id") if "image_token_index" in raw else None,
    )


def load_vision(
    folder: Path | str,
    *,
    config: VisionConfig | None = None,
    scan_layers: bool = False,
    dtype: Any = None,
) -> tuple[VisionConfig, dict[str, Any]]:
    """Reads what `open_vision` opens: the configuration and the parameters, numpy arrays.

    Args:
      scan_layers: whether layers come stacked on axis 0.
      dtype: what to convert to; None keeps the stored one.
    """
    config, tensors = open_vision(folder, config)
    tensors = {path: tensors[path] for path in vision_shapes(config)}
    return config, unflatten(dict(read(tensors, scan_layers=scan_layers, dtype=dtype)))


def load_language(
    folder: Path | str, *, scan_layers: bool = False, dtype: Any = None
) -> tuple[LanguageConfig, dict[str, Any]]:
    """Reads what `open_language` opens; arguments as for `load_vision`."""
    config, tensors = open_language(folder)
    return config, unflatten(dict(read(tensors, scan_layers=scan_layers, dtype=dtype)))


def load_llava(
    folder: Path | str,
    *,
    vision_folder: Path | str | None = None,
    scan_layers: bool = False,
    dtype: Any = None,
) -> tuple[LlavaConfig, dict[str, Any]]:
    """Reads what `open_llava` opens; arguments as for `load_vision`."""
    stored = open_llava(folder, vision_folder)
    return stored.config, load(stored, scan_layers=scan_layers, dtype=dtype)
