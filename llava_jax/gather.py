"""How a device that holds shards of the parameters gets what it computes with, and how gradients
return: inside `jax.shard_map`, over the axes that sharding.py takes over from the compiler.

Whole parameters are put together a block at a time, and the transpose reduces their gradients
straight into shards; of word embeddings only what the batch needs crosses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from llava_jax import partition
from llava_jax.mesh import batch_axes, platform_of, size_of
from llava_jax.sharding import KERNEL, TABLE, Specs, manual

# What `Gather.outside_blocks` leaves alone: blocks gather their own, words are looked up.
_LATER = [r"(language/layers|vision/blocks)(_\d+)?/.*", TABLE]


def reduce_dtype(mesh: Mesh, dtype: Any) -> Any:
    """What gradients are summed in over devices: the compute dtype.

    On a CPU float32: XLA's CPU backend cannot reduce bfloat16 beside an axis that is left to the
    compiler.
    """
    return jnp.float32 if platform_of(mesh) == "cpu" else dtype


@dataclass(frozen=True)
class Gather:
    """Whole parameters from their shards, inside shard_map.

    Its transpose sums gradients over the devices and leaves each its own shard. Axes are gathered
    one after another: over two at once XLA makes the reduction a full all-reduce.

    reduce_dtype: what gradients are summed in.
    """

    specs: tuple[tuple[str, PartitionSpec], ...]
    reduce_dtype: Any

    @classmethod
    def over(cls, mesh: Mesh, specs: Specs, dtype: Any) -> "Gather":
        """dtype: of the gathered parameters."""
        paths = tuple((path, manual(spec)) for path, spec in specs.items())
        return cls(paths, reduce_dtype(mesh, dtype))

    @cached_property
    def _entries(self) -> dict[str, PartitionSpec]:
        return dict(self.specs)

    def __call__(self, params: partition.Params, prefix: str = "") -> dict[str, Any]:
        """The leaves below `prefix`, whole. A scanned block's have lost their layer axis."""
        leaves = partition.flatten(params)
        return partition.unflatten(
            {path: self.whole(prefix + path, leaf) for path, leaf in leaves.items()}
        )

    def whole(self, path: str, leaf: Array) -> Array:
        """The leaf of a path, put together."""
        spec = self._entries[path]
        return self._leaf(leaf, tuple(spec)[len(spec) - leaf.ndim :])

    def outside_blocks(self, params: partition.Params) -> dict[str, Any]:
        """The tree with all leaves whole that are not gathered later (`_LATER`)."""
        leaves = partition.flatten(params)
        later = {path: leaf for path, leaf in leaves.items() if partition.matches(_LATER, path)}
        now = {path: leaf for path, leaf in leaves.items() if path not in later}
        return partition.unflatten(later | partition.flatten(self(partition.unflatten(now))))

    def look_up(
        self, table: Float[Array, "shard columns"], tokens: Int[Array, "batch seq"]
    ) -> Float[Array, "batch seq d"]:
        """The embeddings of this device's words, from its shard of the table.

        Over the axes that cut the width, each device looks up its own columns for the words of
        all, and the devices exchange them: 2,048 words are 1/16 of a vocabulary of 32,000. The
        transpose sums the gradients of these words in float32, where the columns are; what axes
        cut the vocabulary is gathered and reduced as any leaf.
        """
        over_vocab, over_width = map(_axes, self._entries[TABLE])
        table = self._leaf(table, (over_vocab, None))
        if not over_width:
            return take_rows(table, tokens)
        columns = take_rows(table, lax.all_gather(tokens, over_width, tiled=True))
        return lax.all_to_all(columns, over_width, split_axis=0, concat_axis=2, tiled=True)

    def _leaf(self, leaf: Array, entries: Sequence[Any]) -> Array:
        cut = [(dim, axis) for dim, entry in enumerate(entries) for axis in _axes(entry)]
        return _gather(tuple(cut), self.reduce_dtype, leaf) if cut else leaf


def _axes(entry: Any) -> tuple[str, ...]:
    """The mesh axes of one entry of a PartitionSpec: none, one, or several."""
    return (entry,) if isinstance(entry, str) else tuple(entry or ())


@jax.custom_vjp
def take_rows(table: Float[Array, "rows d"], ids: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
    """table[ids], whose gradient is summed in float32 whatever the table is in.

    A word may stand thousands of times in a batch: bfloat16 would stop counting at some hundreds.
    """
    return table[ids]


def _take_rows_forward(table: Array, ids: Array) -> tuple[Array, tuple]:
    return table[ids], (table, ids)


def _take_rows_backward(saved: tuple, g: Array) -> tuple[Array, None]:
    table, ids = saved
    sums = jnp.zeros(table.shape, jnp.float32).at[ids].add(g.astype(jnp.float32))
    return sums.astype(table.dtype), None


take_rows.defvjp(_take_rows_forward, _take_rows_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather(cut: tuple[tuple[int, str], ...], reduce_dtype: Any, leaf: Array) -> Array:
    # The last axis named is the fastest: its neighbours hold what stands side by side.
    for dim, axis in reversed(cut):
        leaf = lax.all_gather(leaf, axis, axis=dim, tiled=True)
    return leaf


def _gather_forward(cut: tuple, reduce_dtype: Any, leaf: Array) -> tuple[Array, None]:
    return _gather(cut, reduce_dtype, leaf), None


def _gather_backward(cut: tuple, reduce_dtype: Any, _: None, g: Array) -> tuple[Array]:
    dtype, g = g.dtype, g.astype(reduce_dtype)
    for dim, axis in cut:
        g = _scatter(g, dim, axis)
    return (g.astype(dtype),)


def _scatter(g: Array, dim: int, axis: str) -> Array:
    """The sum over an axis of the mesh, of which each device keeps its own piece of `dim`.

    The pieces lie along a dimension of their own: XLA's TPU backend pads those of a longer one.
    """
    count = lax.axis_size(axis)
    shape = (*g.shape[:dim], count, g.shape[dim] // count, *g.shape[dim + 1 :])
    return lax.psum_scatter(g.reshape(shape), axis, scatter_dimension=dim, tiled=False)


_gather.defvjp(_gather_forward, _gather_backward)


def sum_rest(grads: partition.Params, specs: Specs, mesh: Mesh, dtype: Any) -> dict[str, Any]:
    """Gradients of each device's own rows, summed over the axes that `Gather` has not summed.

    dtype: of the computation; see `reduce_dtype`.
    """

    def rest(path: str, leaf: Array) -> Array:
        done = {axis for entry in manual(specs[path]) for axis in _axes(entry)}
        axes = tuple(axis for axis in batch_axes(mesh) if axis not in done)
        if size_of(mesh, axes) == 1:
            return leaf
        small = not partition.matches([KERNEL], path)
        summed_in = leaf.dtype if small else reduce_dtype(mesh, dtype)
        return lax.psum(leaf.astype(summed_in), axes).astype(leaf.dtype)

    leaves = partition.flatten(grads)
    return partition.unflatten({path: rest(path, leaf) for path, leaf in leaves.items()})
