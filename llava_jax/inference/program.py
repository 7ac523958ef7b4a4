"""Prefill and decode as programs over a mesh: what is compiled, for this machine or another.

Every chip of the mesh shares each product (its tensor axis), and holds its own heads of the cache.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh

from llava_jax.compiler import compiler_options
from llava_jax.config import Recipe
from llava_jax.inference.parameters import prepared
from llava_jax.inference.placement import cache_places, check_heads
from llava_jax.mesh import platform_of
from llava_jax.models import cache
from llava_jax.models.compute import compute_for
from llava_jax.models.language import make_cache
from llava_jax.models.llava import Llava, abstract_params
from llava_jax.models.sizes import llava_config
from llava_jax.sharding import abstract, parameter_specs, replicated


@dataclass(frozen=True)
class InferenceProgram:
    """A program before compilation; nothing is allocated."""

    lowered: jax.stages.Lowered
    mesh: Mesh

    def compile(self) -> jax.stages.Compiled:
        """With what XLA is to be told for this mesh."""
        return self.lowered.compile(compiler_options=compiler_options(self.mesh))


def prefill_program(
    recipe: Recipe, mesh: Mesh, rows: int, length: int, *, int8: bool = False
) -> InferenceProgram:
    """Prompts of `length` tokens, one image each, read into an empty cache; their next tokens.

    int8: weights in 8 bits.

    Raises:
      UserError: a mesh that does not divide the model's heads.
    """
    model = _model(recipe, mesh, int8)
    config = model.config

    def prefill(params: Any, batch: dict[str, jax.Array]) -> Any:
        logits, read = model.apply({"params": params}, batch, method=Llava.prefill)
        return jnp.argmax(logits, axis=-1), read

    size = config.vision.image_size
    batch = {
        "tokens": _whole(mesh, (rows, length), jnp.int32),
        "image_slots": _whole(mesh, (rows, length), jnp.int32),
        "lengths": _whole(mesh, (rows,), jnp.int32),
        "images": _whole(mesh, (rows, 1, size, size, 3), jnp.uint8),
    }
    places = (replicated(mesh), cache_places(model.config, model.compute, mesh))
    program = jax.jit(prefill, out_shardings=places)
    return InferenceProgram(program.lower(_weights(model, mesh), batch), mesh)


def decode_program(
    recipe: Recipe, mesh: Mesh, rows: int, context: int, formats: Any = None, *, int8: bool = False
) -> InferenceProgram:
    """One token more in each row, the greatest logit's, with `context` tokens in the cache.

    The cache comes in and goes out in one layout, and in place: with two it would be copied.

    formats: of the cache, as `cache_formats` gives them; None: the compiler chooses.
    int8: weights in 8 bits.
    """
    model = _model(recipe, mesh, int8)
    if formats is None:
        automatic = jax.tree.map(
            lambda place: Format(Layout.AUTO, place),
            cache_places(model.config, model.compute, mesh),
        )
        formats = automatic

    def decode(params: Any, tokens: jax.Array, lengths: jax.Array, cached: Any) -> Any:
        logits, new = model.apply({"params": params}, tokens, lengths, cached, method=Llava.decode)
        return jnp.argmax(logits, axis=-1), cache.write(cached, new, lengths)

    weights = _weights(model, mesh)
    whole = replicated(mesh)
    empty = jax.eval_shape(lambda: make_cache(model.config.language, model.compute, rows, context))
    numbers = jax.ShapeDtypeStruct((rows,), jnp.int32)
    step = jax.jit(
        decode,
        in_shardings=(jax.tree.map(lambda leaf: leaf.sharding, weights), whole, whole, formats),
        out_shardings=(whole, formats),
        donate_argnums=3,
    )
    return InferenceProgram(step.lower(weights, numbers, numbers, empty), mesh)


def cache_formats(compiled: jax.stages.Compiled) -> Any:
    """The layouts that the compiler chose for the cache that comes into a decode step."""
    return compiled.input_formats[0][3]


def _model(recipe: Recipe, mesh: Mesh, int8: bool) -> Llava:
    config = llava_config(recipe.model)
    check_heads(config, mesh)
    compute = compute_for(platform_of(mesh), recipe.dtype)
    return Llava(config, replace(compute, int8_weights=int8))


def _weights(model: Llava, mesh: Mesh) -> dict[str, Any]:
    """All parameters as they are multiplied, cut over the tensor axis."""
    ready = jax.eval_shape(partial(prepared, compute=model.compute), abstract_params(model))
    return abstract(ready, parameter_specs(ready, mesh), mesh)


def _whole(mesh: Mesh, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(mesh))
