"""What shape every parameter of a configuration has, without making any of them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageConfig, LanguageModel
from llava_jax.models.llava import Llava, LlavaConfig, abstract_params
from llava_jax.models.vision import VisionConfig, VisionTower
from llava_jax.partition import flatten
from llava_jax.weights.layouts import is_stacked, layer_path

Shapes = dict[str, tuple[int, ...]]

# Scanned, so that forty layers are traced as one.
_COMPUTE = Compute(scan_layers=True)


def _unrolled(abstract: dict[str, Any]) -> Shapes:
    """Path -> shape in the unrolled layout."""
    shapes = {}
    for path, leaf in flatten(abstract).items():
        if is_stacked(path):
            layers = range(leaf.shape[0])
            shapes.update({layer_path(path, i): leaf.shape[1:] for i in layers})
        else:
            shapes[path] = leaf.shape
    return shapes


def _init_shapes(module: nn.Module, inputs: jax.ShapeDtypeStruct, method: Any = None) -> Shapes:
    abstract = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, method=method), inputs)
    return _unrolled(abstract["params"])


def vision_shapes(config: VisionConfig) -> Shapes:
    """Parameter shapes of a vision tower, by path below `vision/`."""
    side = config.image_size
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return _init_shapes(VisionTower(config, _COMPUTE), image)


def language_shapes(config: LanguageConfig) -> Shapes:
    """Parameter shapes of a language model, by path below `language/`."""

    def logits(model: LanguageModel, tokens: jax.Array) -> jax.Array:
        return model.logits(model(model.embed_tokens(tokens), tokens, tokens))

    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    return _init_shapes(LanguageModel(config, _COMPUTE), tokens, method=logits)


def llava_shapes(config: LlavaConfig) -> Shapes:
    """Parameter shapes of the whole model, by full path."""
    return _unrolled(abstract_params(Llava(config, _COMPUTE)))
