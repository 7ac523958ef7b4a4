"""AdamW with a rate for every group of parameters, and LLaVA's learning-rate schedule."""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from llava_jax import partition
from llava_jax.config import Optimizer


def cosine_with_warmup(rate: float, steps: int, warmup: float) -> optax.Schedule:
    """Rises linearly from 0 over ceil(warmup * steps) steps, then falls along a cosine to 0.

    The very first step has rate 0, as in transformers' `get_cosine_schedule_with_warmup`.
    """
    rising = math.ceil(warmup * steps)

    def schedule(step: Int[Array, ""] | int) -> Float[Array, ""]:
        progress = (step - rising) / max(steps - rising, 1)
        falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))
        return rate * jnp.where(step < rising, step / max(rising, 1), falling)

    return schedule


def make_optimizer(
    config: Optimizer, trainable: partition.Params, steps: int
) -> optax.GradientTransformation:
    """The stage's optimizer over the trainable tree alone.

    Clipping looks at the norm over all groups. Weight decay spares biases and norms, but not
    embeddings, as Hugging Face's Trainer does.

    Raises:
      UserError: a rate is given for a pattern that no trained parameter matches.
    """
    paths = partition.flatten(trainable)
    partition.refuse_idle([pattern for pattern, _ in config.rates], paths)
    table = [*config.rates, (".*", config.learning_rate)]
    labels = partition.unflatten({p: str(r) for p, r in partition.lookup(table, paths).items()})

    def adamw(rate: float) -> optax.GradientTransformation:
        schedule = cosine_with_warmup(rate, steps, config.warmup)
        return optax.adamw(
            schedule,
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
            mask=_decayed,
        )

    groups = {str(rate): adamw(rate) for _, rate in table}
    clip = optax.clip_by_global_norm(config.clip) if config.clip else optax.identity()
    return optax.chain(clip, optax.partition(groups, labels))


def _decayed(params: partition.Params) -> partition.Params:
    """Which leaves weight decay applies to; a function, since each group sees its own tree."""

    def decays(path: tuple, _: Array) -> bool:
        return path[-1].key not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decays, params)
