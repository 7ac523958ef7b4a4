"""Two layouts of the same parameters: one subtree a layer, or all layers stacked on axis 0.

`blocks_0/norm1/scale`, `blocks_1/norm1/scale`, ... [d]  <->  `blocks/norm1/scale` [layers, d],
the same for `layers`. The unrolled layout is the one that names in other checkpoints map to.
"""

import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llava_jax.partition import Params, flatten, unflatten

_UNROLLED = re.compile(r"(^|/)(blocks|layers)_(\d+)/")
_STACKED = re.compile(r"(^|/)(blocks|layers)/")


def group_layers(paths: Iterable[str]) -> dict[str, list[str]]:
    """Stacked path -> the unrolled paths it stacks, in layer order; other paths alone."""
    groups: dict[str, dict[int, str]] = {}
    for path in paths:
        match = _UNROLLED.search(path)
        layer = int(match[3]) if match else 0
        groups.setdefault(_UNROLLED.sub(r"\1\2/", path), {})[layer] = path
    return {stacked: [layers[i] for i in sorted(layers)] for stacked, layers in groups.items()}


def layer_path(path: str, layer: int) -> str:
    """Stacked path -> the unrolled path of one layer."""
    return _STACKED.sub(rf"\1\2_{layer}/", path)


def is_stacked(path: str) -> bool:
    """Whether a leaf at this path has a leading layer axis."""
    return _STACKED.search(path) is not None


def is_layer(path: str) -> bool:
    """Whether a leaf at this path belongs to a single layer of the unrolled layout."""
    return _UNROLLED.search(path) is not None


def stack_layers(params: Params) -> dict[str, Any]:
    """Unrolled -> stacked. Numpy stays numpy, jax arrays stay jax arrays."""
    leaves = flatten(params)
    stacked = {}
    for path, members in group_layers(leaves).items():
        layers = [leaves[member] for member in members]
        if is_layer(members[0]):
            jaxed = isinstance(layers[0], jax.Array)
            stacked[path] = jnp.stack(layers) if jaxed else np.stack(layers)
        else:
            stacked[path] = layers[0]
    return unflatten(stacked)


def unstack_layers(params: Params) -> dict[str, Any]:
    """Stacked -> unrolled. Numpy leaves become views."""
    leaves = {}
    for path, leaf in flatten(params).items():
        if is_stacked(path):
            leaves.update({layer_path(path, i): leaf[i] for i in range(leaf.shape[0])})
        else:
            leaves[path] = leaf
    return unflatten(leaves)
