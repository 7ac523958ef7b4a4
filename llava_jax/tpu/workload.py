"""What a stage asks of the chips, from its recipe alone: model FLOPs and the number of steps."""

import math
from dataclasses import dataclass

import jax

from llava_jax import partition
from llava_jax.config import Recipe, Stage
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, abstract_params
from llava_jax.models.sizes import llava_config
from llava_jax.training.flops import step_flops


@dataclass(frozen=True)
class Workload:
    """One optimizer step of a stage, all chips together, and how many the stage has."""

    rows: int
    tokens: int  # positions of all rows, each of them used
    images: int
    decoder_flops: float  # the decoder's products and exact causal attention, nothing twice
    tower_flops: float  # the vision tower's and the projector's
    weight_bytes: int  # of all parameters in bfloat16
    layer_kernels: tuple[tuple[int, ...], ...]  # shapes of the kernels of a decoder layer
    vocabulary: int
    steps: int | None  # of the whole stage; None: the recipe does not say how large its data is


def stage_workload(recipe: Recipe, stage: Stage, samples_per_row: float = 1.0) -> Workload:
    """Full rows, one sample and every position supervised in each.

    The decoder's FLOPs are 6 for each weight of its layers and its head and token, 4 where it is
    frozen, and 6 * width * length**2 a layer for causal attention (training/flops.py).

    samples_per_row: how many samples a row of the stage's data holds on average; more than one
      where rows are packed.
    """
    config = llava_config(recipe.model)
    params = abstract_params(Llava(config, Compute(scan_layers=True)))

    def flops(images: int) -> float:
        return step_flops(
            config,
            params,
            stage.trainable,
            tokens=stage.rows * stage.length,
            squared_lengths=stage.rows * stage.length**2,
            targets=stage.rows * stage.length,
            images=images,
            cached_features=stage.cache_features,
        )

    images = stage.rows * stage.images
    return Workload(
        rows=stage.rows,
        tokens=stage.rows * stage.length,
        images=images,
        decoder_flops=flops(0),
        tower_flops=flops(images) - flops(0),
        weight_bytes=2 * sum(leaf.size for leaf in jax.tree.leaves(params)),
        layer_kernels=_layer_kernels(params),
        vocabulary=config.language.vocab_size,
        steps=_steps(stage, samples_per_row),
    )


def inference_workload(recipe: Recipe, kind: str, rows: int, context: int) -> Workload:
    """Prompts of `context` tokens read at once ("prefill"), or one token more in each ("decode").

    The decoder's FLOPs are 2 for each weight and token, the head's only where a token is chosen,
    and attention's 4 * width a layer for each pair of a token and one that it looks at.
    """
    config = llava_config(recipe.model)
    language = config.language
    params = abstract_params(Llava(config, Compute(scan_layers=True)))
    kernels = _layer_kernels(params)
    tokens = rows * (context if kind == "prefill" else 1)
    pairs = rows * (context**2 / 2 if kind == "prefill" else context)
    products = 2 * tokens * language.depth * sum(math.prod(shape) for shape in kernels)
    head = 2 * rows * language.vocab_size * language.width
    attention = 4 * pairs * language.heads * language.size_of_head * language.depth
    images = rows if kind == "prefill" else 0
    return Workload(
        rows=rows,
        tokens=tokens,
        images=images,
        decoder_flops=float(products + head + attention),
        tower_flops=float(images * _tower_forward(config, params)),
        weight_bytes=2 * sum(leaf.size for leaf in jax.tree.leaves(params)),
        layer_kernels=kernels,
        vocabulary=language.vocab_size,
        steps=None,
    )


def _tower_forward(config: LlavaConfig, params: partition.Params) -> float:
    """Of one image, and its projector's."""

    def flops(cached: bool) -> float:
        return step_flops(
            config,
            params,
            ["projector/.*"],
            tokens=0,
            squared_lengths=0,
            targets=0,
            images=1,
            cached_features=cached,
        )

    projector = flops(cached=True)  # 6 a weight and token, of which 2 are forward
    return flops(cached=False) - projector + projector / 3


def _layer_kernels(params: partition.Params) -> tuple[tuple[int, ...], ...]:
    leaves = partition.flatten(params)
    return tuple(
        leaf.shape[1:]  # without the layers
        for path, leaf in leaves.items()
        if partition.matches([r"language/layers/.*/kernel"], path)
    )


def _steps(stage: Stage, samples_per_row: float) -> int | None:
    if stage.steps:
        return stage.steps
    records = [source.records for source in stage.data.values()]
    if not records or not all(records):
        return None
    return math.ceil(sum(records) * stage.epochs / samples_per_row / stage.rows)
