"""The devices of a run, and how arrays lie on them."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from llava_jax.errors import UserError


def make_mesh() -> Mesh:
    """All devices of all processes along one axis, "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """The first axis, a batch's rows, cut over the data axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_rows(rows: int, accumulate: int, mesh: Mesh) -> None:
    """Raises UserError unless every device gets whole rows of every micro-batch."""
    parts = mesh.shape["data"] * accumulate
    if rows % parts:
        raise UserError(
            f"rows={rows} cannot be shared by {mesh.shape['data']} devices in {accumulate} "
            f"micro-batches: make it a multiple of {parts}"
        )


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of the batch as part of one global array over the mesh."""
    sharding = by_rows(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, array)
        for name, array in batch.items()
    }


def place_replicated(tree: Any, mesh: Mesh) -> Any:
    """The tree with every leaf whole on every device."""
    return jax.device_put(tree, replicated(mesh))
