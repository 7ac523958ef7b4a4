"""The counted arithmetic of a step beside what XLA counts in the compiled one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax import partition
from llava_jax.config import Model, Optimizer
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, abstract_params
from llava_jax.models.sizes import llava_config
from llava_jax.training.flops import step_flops
from llava_jax.training.optimizer import make_optimizer
from llava_jax.training.step import init_state, make_step

CONFIG = llava_config(Model(vision="tiny_clip", language="tiny_llama"))
ROWS, LENGTH = 4, 64
TOKENS = ROWS * LENGTH


def make_batch(cached: bool) -> dict[str, jax.Array]:
    """Full rows of one sample, every token learned: the program has nothing to do in vain."""
    vision, slots = CONFIG.vision, np.full((ROWS, LENGTH), -1)
    slots[:, : CONFIG.image_tokens] = np.arange(CONFIG.image_tokens)
    pixels = jnp.zeros((ROWS, 1, vision.image_size, vision.image_size, 3), jnp.uint8)
    features = jnp.zeros((ROWS, 1, vision.features, vision.width))
    return {
        "tokens": jnp.ones((ROWS, LENGTH), jnp.int32),
        "positions": jnp.tile(jnp.arange(LENGTH), (ROWS, 1)),
        "segments": jnp.ones((ROWS, LENGTH), jnp.int32),
        "loss_weights": jnp.ones((ROWS, LENGTH)),
        "image_slots": jnp.asarray(slots),
        **({"features": features} if cached else {"images": pixels}),
    }


@pytest.mark.parametrize(
    ("trainable", "cached"),
    [
        (["projector/.*"], False),
        (["projector/.*"], True),
        (["projector/.*", "language/.*"], False),
        (["projector/.*", "language/layers.*"], False),
        ([".*"], False),
    ],
)
def test_the_count_is_that_of_the_compiled_step(trainable: list[str], cached: bool) -> None:
    model = Llava(CONFIG, Compute(scan_layers=False))
    params = abstract_params(model)
    chosen, frozen = partition.split(params, trainable)
    optimizer = make_optimizer(Optimizer(), chosen, 10)
    state = jax.eval_shape(partial(init_state, optimizer=optimizer), chosen)
    step = jax.jit(make_step(model, optimizer))
    lowered = step.lower(state, frozen, make_batch(cached))
    compiled = lowered.compile({"xla_backend_optimization_level": 0})  # quick; the same products
    counted = step_flops(
        CONFIG,
        params,
        trainable,
        tokens=TOKENS,
        # Twice, for this program also computes the half of the scores that causality masks.
        squared_lengths=2 * ROWS * LENGTH**2,
        targets=ROWS * (LENGTH - 1),
        images=ROWS,
        cached_features=cached,
    )
    # XLA counts what is no product as well: norms, softmax, the optimizer.
    assert 0.94 < counted / compiled.cost_analysis()["flops"] < 1
