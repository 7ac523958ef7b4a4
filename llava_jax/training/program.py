"""A stage's step as a program over a mesh: what is compiled, for this machine or another."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding

from llava_jax import partition
from llava_jax.compiler import compiler_options
from llava_jax.config import Recipe, Stage
from llava_jax.mesh import batch_axes, check_rows, platform_of, size_of
from llava_jax.models.compute import compute_for
from llava_jax.models.llava import Llava, abstract_params
from llava_jax.models.sizes import llava_config
from llava_jax.sharding import Specs, abstract, by_rows, parameter_specs, place, replicated
from llava_jax.training.optimizer import make_optimizer
from llava_jax.training.step import State, in_compute_dtype, init_state, make_step


@dataclass(frozen=True)
class StageProgram:
    """The jitted step, and the shape, dtype and place of all that it takes.

    step: `(state, frozen, batch) -> (state, metrics)`; it takes the state's memory over.
    """

    step: Any
    state: State
    frozen: dict[str, Any]
    batch: dict[str, Any]
    optimizer: optax.GradientTransformation
    mesh: Mesh

    def lower(self) -> jax.stages.Lowered:
        """The program before compilation; nothing is allocated."""
        return self.step.lower(self.state, self.frozen, self.batch)

    def compile(self) -> jax.stages.Compiled:
        """The step, ready to run; on a machine without the mesh's devices, ready to be read."""
        return self.lower().compile(compiler_options=compiler_options(self.mesh))

    def first_state(self, trainable: partition.Params) -> State:
        """Float32 masters and a fresh optimizer, each shard made where it belongs."""
        params = place(trainable, self.state.params)
        places = jax.tree.map(lambda leaf: leaf.sharding, self.state.optimizer)
        return self.state_at(0, params, jax.jit(self.optimizer.init, out_shardings=places)(params))

    def state_at(self, step: int, params: partition.Params, optimizer: Any) -> State:
        """A state of arrays that are in place already."""
        number = jax.make_array_from_callback(
            (), self.state.step.sharding, lambda _: np.asarray(step, np.int32)
        )
        return State(number, params, optimizer)


def stage_program(
    model: Llava, stage: Stage, mesh: Mesh, *, steps: int, targets: int = 0
) -> StageProgram:
    """The program of one stage.

    Args:
      steps: of the whole stage, for its learning rates.
      targets: supervised tokens of the row that has most; 0: all that there are.
    Raises:
      UserError: a mesh that does not divide the model or the batch; patterns that match nothing.
    """
    check_rows(stage.rows, stage.accumulate, mesh)
    shapes = abstract_params(model)
    specs = parameter_specs(shapes, mesh)
    trainable, _ = partition.split(shapes, stage.trainable)
    optimizer = make_optimizer(stage.optimizer, trainable, steps)
    state = _abstract_state(trainable, optimizer, specs, mesh)
    groups = 1
    if stage.normalize == "per_device":
        groups = size_of(mesh, batch_axes(mesh)) * stage.accumulate
    step = make_step(
        model,
        optimizer,
        mesh,
        specs,
        targets=targets,
        accumulate=stage.accumulate,
        groups=groups,
    )
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    return StageProgram(
        step=jax.jit(step, donate_argnums=0, out_shardings=(places, replicated(mesh))),
        state=state,
        frozen=abstract_frozen(model, stage, mesh),
        batch=_abstract_batch(model, stage, mesh),
        optimizer=optimizer,
        mesh=mesh,
    )


def abstract_frozen(model: Llava, stage: Stage, mesh: Mesh) -> dict[str, Any]:
    """What a stage does not train: products' weights in the compute dtype, the rest in float32."""
    shapes = abstract_params(model)
    _, resting = partition.split(shapes, stage.trainable)
    typed = {
        path: jax.ShapeDtypeStruct(
            leaf.shape, model.compute.dtype if in_compute_dtype(path) else jnp.float32
        )
        for path, leaf in partition.flatten(resting).items()
    }
    return abstract(partition.unflatten(typed), parameter_specs(shapes, mesh), mesh)


def recipe_program(recipe: Recipe, name: str, mesh: Mesh, steps: int = 1000) -> StageProgram:
    """The program of a recipe's stage, without its weights or data.

    steps: any number serves; it changes a constant of the program.
    """
    compute = compute_for(platform_of(mesh), recipe.dtype, recipe.remat)
    model = Llava(llava_config(recipe.model), compute)
    return stage_program(model, recipe.stage[name], mesh, steps=steps)


def _abstract_state(
    trainable: partition.Params,
    optimizer: optax.GradientTransformation,
    specs: Specs,
    mesh: Mesh,
) -> State:
    """Shapes and places of a stage's first state: moments lie where their parameters do."""
    shapes = jax.eval_shape(lambda tree: init_state(tree, optimizer), trainable)
    paths = set(partition.flatten(trainable))

    def placed(keys: tuple, leaf: Any) -> jax.ShapeDtypeStruct:
        names = [key.key for key in keys if isinstance(key, jax.tree_util.DictKey)]
        tails = ("/".join(names[i:]) for i in range(len(names)))
        path = next((tail for tail in tails if tail in paths), None)
        sharding = NamedSharding(mesh, specs[path]) if path else replicated(mesh)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(placed, shapes)


def _abstract_batch(model: Llava, stage: Stage, mesh: Mesh) -> dict[str, Any]:
    rows, vision = stage.rows, model.config.vision
    shapes = dict.fromkeys(("tokens", "positions", "segments", "image_slots"), jnp.int32)
    fields: dict[str, tuple[tuple[int, ...], Any]] = {
        name: ((rows, stage.length), dtype) for name, dtype in shapes.items()
    }
    fields["loss_weights"] = ((rows, stage.length), jnp.float32)
    if stage.cache_features:
        one = (vision.features, vision.feature_width)
        fields["features"] = ((rows, stage.images, *one), jnp.bfloat16)
    else:
        one_image = (vision.image_size, vision.image_size, 3)
        fields["images"] = ((rows, stage.images, *one_image), jnp.uint8)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=by_rows(mesh))
        for name, (shape, dtype) in fields.items()
    }
