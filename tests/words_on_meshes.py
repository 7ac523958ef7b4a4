"""Run on eight devices by test_gather.py: how far looked-up words, and the gradient of their table,
are from those of the whole table, as JSON.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llava_jax import partition
from llava_jax.gather import Gather, sum_rest
from llava_jax.mesh import TENSOR
from llava_jax.sharding import TABLE, over_devices

VOCAB, WIDTH, WORDS = 16, 8, 12
# How the table is cut -> what the axes of a 2 x 4 mesh do
CUTS = {
    "width": PartitionSpec(None, ("fsdp_x", "fsdp_y")),
    "vocabulary": PartitionSpec(("fsdp_x", "fsdp_y"), None),
    "both": PartitionSpec(("fsdp_x",), ("fsdp_y",)),
    "one axis": PartitionSpec(None, "fsdp_y"),
}


def differences(cut: PartitionSpec) -> list[float]:
    """Of the embeddings and of the gradient."""
    axes = ("fsdp_x", "fsdp_y")
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4, 1), (*axes, TENSOR))
    gather = Gather.over(mesh, {TABLE: cut}, jnp.float32)
    random = np.random.default_rng(0)
    table = random.normal(size=(VOCAB, WIDTH)).astype(np.float32)
    tokens = random.integers(0, VOCAB, (2 * jax.device_count(), WORDS))
    weights = random.normal(size=(*tokens.shape, WIDTH)).astype(np.float32)

    def forward_and_back(table, tokens, weights):
        words, transpose = jax.vjp(lambda t: gather.look_up(t, tokens), table)
        grads = partition.unflatten({TABLE: transpose(weights)[0]})
        return words, partition.flatten(sum_rest(grads, {TABLE: cut}, mesh, jnp.float32))[TABLE]

    rows = PartitionSpec(axes)
    run = jax.jit(over_devices(forward_and_back, mesh, (cut, rows, rows), (rows, cut)))
    words, grads = run(jax.device_put(table, NamedSharding(mesh, cut)), tokens, weights)
    wanted = np.zeros_like(table)
    np.add.at(wanted, tokens, weights)
    return [float(np.abs(words - table[tokens]).max()), float(np.abs(grads - wanted).max())]


if __name__ == "__main__":
    print(json.dumps({name: differences(cut) for name, cut in CUTS.items()}))
