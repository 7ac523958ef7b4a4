"""One training step: the gradient of the trainable tree, and nothing of the frozen one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from llava_jax import partition
from llava_jax.models.llava import Batch, Llava
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
    """Kernels and embedding tables in the compute dtype; norms and biases stay float32."""
    return partition.unflatten(
        {
            path: leaf.astype(dtype) if path.split("/")[-1] in ("kernel", "embedding") else leaf
            for path, leaf in partition.flatten(params).items()
        }
    )


def batch_loss(
    model: Llava, trainable: partition.Params, frozen: partition.Params, batch: Batch, targets: int
) -> Float[Array, ""]:
    """Sum of the batch's losses, each times its `target_weights` [B,S-1]."""
    if model.compute.platform != "cpu":  # a CPU's products round masters themselves
        trainable = to_compute(trainable, model.compute.dtype)
    params = partition.merge(trainable, frozen)
    hidden = model.apply({"params": params}, batch, method="hidden")
    wanted = select_targets(batch["tokens"], batch["target_weights"], targets)
    hidden = jnp.take_along_axis(hidden, wanted.positions[..., None], axis=1)
    tied = model.config.language.tied_head
    path = "language/embed/embedding" if tied else "language/lm_head/kernel"
    return cross_entropy(
        hidden,
        partition.flatten(params)[path],
        wanted.tokens,
        wanted.weights,
        tied=tied,
        compute=model.compute,
    )


def make_step(
    model: Llava,
    optimizer: optax.GradientTransformation,
    *,
    targets: int = 0,
    accumulate: int = 1,
    groups: int = 1,
) -> Callable[[State, partition.Params, Batch], tuple[State, StepMetrics]]:
    """A pure `step(state, frozen, batch) -> (state, metrics)`, ready for jit.

    Args:
      targets: supervised tokens a row, at most (see `select_targets`).
      accumulate: micro-batches that the batch is cut into; the result is that of the whole.
      groups: runs of rows whose means are averaged (see `normalize_weights`).
    """

    def loss(trainable: partition.Params, frozen: partition.Params, batch: Batch) -> Array:
        return batch_loss(model, trainable, frozen, batch, targets)

    def gradients(
        trainable: partition.Params, frozen: partition.Params, batch: Batch
    ) -> tuple[Array, partition.Params]:
        if accumulate == 1:
            return jax.value_and_grad(loss)(trainable, frozen, batch)

        def micro(total: tuple, part: Batch) -> tuple:
            return jax.tree.map(
                jnp.add, total, jax.value_and_grad(loss)(trainable, frozen, part)
            ), 0

        # Strided, so that each device's rows stay its own.
        parts = jax.tree.map(
            lambda a: a.reshape(-1, accumulate, *a.shape[1:]).swapaxes(0, 1), batch
        )
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable))
        return jax.lax.scan(micro, zero, parts)[0]

    def step(state: State, frozen: partition.Params, batch: Batch) -> tuple[State, StepMetrics]:
        # The mean is over the whole batch, so it is taken before the batch is cut.
        weights = next_token_weights(batch["segments"], batch["loss_weights"])
        weights = normalize_weights(weights, groups)
        total, grads = gradients(state.params, frozen, dict(batch, target_weights=weights))
        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(total, optax.tree.norm(grads))
        return State(state.step + 1, params, optimizer_state), metrics

    return step
