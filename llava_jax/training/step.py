"""One training step: the gradient of the trainable tree, and nothing of the frozen one."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from llava_jax import partition
from llava_jax.gather import Gather, sum_rest
from llava_jax.mesh import batch_axes, fsdp_axes, local_mesh, size_of
from llava_jax.models import cpu
from llava_jax.models.llava import Batch, Llava, abstract_params
from llava_jax.sharding import TABLE, Specs, manual, over_devices, parameter_specs
from llava_jax.training.loss import (
    cross_entropy,
    next_token_weights,
    normalize_weights,
    select_targets,
)


class State(NamedTuple):
    """All that a stage trains: it is what its checkpoints hold."""

    step: Int[Array, ""]
    params: partition.Params
    optimizer: optax.OptState


class StepMetrics(NamedTuple):
    """loss is the mean over the batch's supervised tokens; grad_norm is before clipping."""

    loss: Float[Array, ""]
    grad_norm: Float[Array, ""]


def init_state(trainable: partition.Params, optimizer: optax.GradientTransformation) -> State:
    """The stage's first state: float32 masters and an optimizer that knows only them."""
    masters = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trainable)
    return State(jnp.zeros((), jnp.int32), masters, optimizer.init(masters))


def to_compute(params: partition.Params, dtype: Any) -> dict[str, Any]:
    """Kernels and embedding tables in the compute dtype; norms and biases stay as they are."""
    return partition.unflatten(
        {
            path: leaf.astype(dtype) if in_compute_dtype(path) else leaf
            for path, leaf in partition.flatten(params).items()
        }
    )


def in_compute_dtype(path: str) -> bool:
    """Whether a parameter enters a product, and so is wanted in the compute dtype."""
    return path.split("/")[-1] in ("kernel", "embedding")


def batch_loss(
    model: Llava,
    trainable: partition.Params,
    frozen: partition.Params,
    batch: Batch,
    *,
    targets: int,
) -> Float[Array, ""]:
    """Sum of the batch's losses, each times its `target_weights` [B,S-1]."""
    if model.compute.platform != "cpu":  # a CPU's products round masters themselves
        trainable = to_compute(trainable, model.compute.dtype)
    params, gather = partition.merge(trainable, frozen), model.compute.gather
    if gather is not None:
        params = gather.outside_blocks(params)
    hidden = model.apply({"params": params}, batch, method="hidden")
    wanted = select_targets(batch["tokens"], batch["target_weights"], targets)
    hidden = jnp.take_along_axis(hidden, wanted.positions[..., None], axis=1)
    tied = model.config.language.tied_head
    head = partition.flatten(params)[TABLE if tied else "language/lm_head/kernel"]
    if gather is not None and tied:
        head = gather.whole(TABLE, head)
    return cross_entropy(
        hidden,
        head,
        wanted.tokens,
        wanted.weights,
        tied=tied,
        compute=dataclasses.replace(model.compute, gather=None),
    )


def make_step(
    model: Llava,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
    specs: Specs | None = None,
    *,
    targets: int = 0,
    accumulate: int = 1,
    groups: int = 1,
) -> Callable[[State, partition.Params, Batch], tuple[State, StepMetrics]]:
    """A pure `step(state, frozen, batch) -> (state, metrics)`, ready for jit.

    Args:
      mesh: the devices that share the work; None: the first of this process.
      specs: how parameters lie on it; None: as `parameter_specs` says.
      targets: supervised tokens a row, at most (see `select_targets`).
      accumulate: micro-batches that each device's rows are cut into; the result is that of the
        whole.
      groups: runs of rows whose means are averaged (see `normalize_weights`).
    """
    mesh = local_mesh() if mesh is None else mesh
    specs = parameter_specs(abstract_params(model), mesh) if specs is None else specs
    gradients = _sharded_gradients(model, mesh, specs, targets, accumulate)

    def step(state: State, frozen: partition.Params, batch: Batch) -> tuple[State, StepMetrics]:
        # The mean is over the whole batch, so it is taken before the batch is cut.
        weights = next_token_weights(batch["segments"], batch["loss_weights"])
        weights = normalize_weights(weights, groups)
        total, grads = gradients(state.params, frozen, dict(batch, target_weights=weights))
        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        if model.compute.platform == "cpu":
            # Else the squares, which Adam wants too, are stored instead of summed at once.
            grads = cpu.computed_apart(grads)
        metrics = StepMetrics(total, optax.tree.norm(grads))
        return State(state.step + 1, params, optimizer_state), metrics

    return step


def _sharded_gradients(
    model: Llava, mesh: Mesh, specs: Specs, targets: int, accumulate: int
) -> Callable[[partition.Params, partition.Params, Batch], tuple[Array, partition.Params]]:
    """(loss, gradients) of the trainable tree; each device computes its own rows."""
    if size_of(mesh, fsdp_axes(mesh)) > 1:
        gather = Gather.over(mesh, specs, model.compute.dtype)
        model = model.clone(compute=dataclasses.replace(model.compute, gather=gather))

    def own_rows(
        trainable: partition.Params, frozen: partition.Params, batch: Batch
    ) -> tuple[Array, partition.Params]:
        loss = value_and_grad_of(model, targets)
        if accumulate == 1:
            total, grads = loss(trainable, frozen, batch)
        else:

            def micro(sums: tuple, part: Batch) -> tuple[tuple, None]:
                return jax.tree.map(jnp.add, sums, loss(trainable, frozen, part)), None

            parts = jax.tree.map(lambda a: a.reshape(accumulate, -1, *a.shape[1:]), batch)
            zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable))
            (total, grads), _ = jax.lax.scan(micro, zero, parts)
        return jax.lax.psum(total, batch_axes(mesh)), sum_rest(
            grads, specs, mesh, model.compute.dtype
        )

    def over_mesh(
        trainable: partition.Params, frozen: partition.Params, batch: Batch
    ) -> tuple[Array, partition.Params]:
        chosen, resting = (_manual_specs(tree, specs) for tree in (trainable, frozen))
        rows = PartitionSpec(batch_axes(mesh))
        function = over_devices(own_rows, mesh, (chosen, resting, rows), (PartitionSpec(), chosen))
        return function(trainable, frozen, batch)

    return over_mesh


def value_and_grad_of(model: Llava, targets: int) -> Callable[..., Any]:
    """(loss, gradient of the trainable tree) as a function of (trainable, frozen, batch)."""
    return jax.value_and_grad(partial(batch_loss, model, targets=targets))


def _manual_specs(tree: partition.Params, specs: Specs) -> dict[str, Any]:
    return partition.unflatten({path: manual(specs[path]) for path in partition.flatten(tree)})
