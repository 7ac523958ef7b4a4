"""Stacked and unrolled layers hold the same numbers in the same order."""

import jax
import jax.numpy as jnp
import numpy as np

from llava_jax import partition
from llava_jax.weights.layouts import group_layers, stack_layers, unstack_layers

LAYERS = 12  # more than ten, so that an order by text ("layers_10" before "layers_2") would show


def unrolled() -> dict:
    leaves = {f"language/layers_{i}/mlp/up/kernel": np.full((2, 3), i) for i in range(LAYERS)}
    leaves["language/norm/scale"] = np.arange(3.0)
    return partition.unflatten(leaves)


def test_layers_are_stacked_in_numeric_order():
    stacked = partition.flatten(stack_layers(unrolled()))
    assert set(stacked) == {"language/layers/mlp/up/kernel", "language/norm/scale"}
    kernel = stacked["language/layers/mlp/up/kernel"]
    assert kernel.shape == (LAYERS, 2, 3)
    np.testing.assert_array_equal(kernel[:, 0, 0], np.arange(LAYERS))


def test_unstacking_undoes_stacking():
    before, after = unrolled(), unstack_layers(stack_layers(unrolled()))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_kinds_of_arrays_are_kept():
    assert isinstance(
        stack_layers(unrolled())["language"]["layers"]["mlp"]["up"]["kernel"], np.ndarray
    )
    on_device = stack_layers(jax.tree.map(jnp.asarray, unrolled()))
    assert isinstance(on_device["language"]["layers"]["mlp"]["up"]["kernel"], jax.Array)


def test_paths_outside_layers_stand_alone():
    groups = group_layers(["embed/embedding", "blocks_1/norm1/scale", "blocks_0/norm1/scale"])
    assert groups == {
        "embed/embedding": ["embed/embedding"],
        "blocks/norm1/scale": ["blocks_0/norm1/scale", "blocks_1/norm1/scale"],
    }
