"""Where every parameter and every batch lies on a mesh, and how a device gets whole parameters.

Three steps lead from a parameter's path to its place. `_AXES` names its dimensions (a table of
regexes that must cover every path); `Rules` says which of these names the tensor axis cuts; and
fsdp cuts the first dimension that is left and divides, so that a shard is one run of memory.

Data and fsdp are manual axes (`jax.shard_map`): each device computes its own rows with whole
parameters, which `Gather` puts together a block at a time, and whose transpose reduces the
gradients straight into shards. The tensor axis is left to the compiler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.mesh import TENSOR, batch_axes, fsdp_axes, platform_of, size_of

Specs = dict[str, PartitionSpec]
Names = tuple[str | None, ...]

# The names of a leaf's dimensions; a stacked leaf has the layers before them. () is whole
# everywhere: what is small is not worth a collective of its own.
_AXES: list[tuple[str, Names]] = [
    (r"language/embed/embedding", ("vocab", "width")),
    (r"language/lm_head/kernel", ("width", "vocab")),
    (r".*/attention/(query|key|value)/kernel", ("width", "heads")),
    (r".*/attention/(query|key|value)/bias", ("heads",)),
    (r".*/attention/out/kernel", ("heads", "width")),
    (r".*/mlp/(gate|up)/kernel", ("width", "mlp")),
    (r".*/mlp/up/bias", ("mlp",)),
    (r".*/mlp/down/kernel", ("mlp", "width")),
    # Of weights in 8 bits: a scale for each output.
    (r"language/(embed/embedding|lm_head/kernel)_scale", ("vocab",)),
    (r".*/attention/(query|key|value)/kernel_scale", ("heads",)),
    (r".*/mlp/(gate|up)/kernel_scale", ("mlp",)),
    (r".*/(attention/out|mlp/down)/kernel_scale", ("width",)),
    (r"projector/dense_\d+/kernel", ("features", "width")),
    (r"vision/(patch_embed/kernel|position_embedding|class_token)", ()),
    (r".*/(bias|scale|layer_scale\d)|image_newline", ()),
]
_STACKED = r"(language/layers|vision/blocks)/.*"
_KERNEL = r".*/(kernel|embedding)"


@dataclass(frozen=True)
class Rules:
    """Which named dimensions the tensor axis cuts."""

    tensor: tuple[str, ...] = ("heads", "mlp", "vocab")


def parameter_specs(params: partition.Params, mesh: Mesh, rules: Rules = Rules()) -> Specs:
    """The PartitionSpec of every path, one entry a dimension.

    params: a tree of anything with a shape.
    Raises:
      UserError: a path that no rule covers, or a side that the mesh does not divide.
    """
    leaves = partition.flatten(params)
    names = partition.lookup(_AXES, leaves)
    return {path: _spec(path, leaf.shape, names[path], mesh, rules) for path, leaf in
            leaves.items()}  # fmt: skip


def _spec(
    path: str, shape: tuple[int, ...], names: Names, mesh: Mesh, rules: Rules
) -> PartitionSpec:
    if not names:
        return PartitionSpec(*[None] * len(shape))
    stacked = partition.matches([_STACKED], path)
    entries: list[Any] = [None] * len(shape)
    tensor = mesh.shape[TENSOR]
    for i, name in enumerate(names, start=int(stacked)):
        if name in rules.tensor and tensor > 1:
            if shape[i] % tensor:
                raise UserError(
                    f"tensor={tensor} does not divide {name} {shape[i]} of {path}: take a "
                    "config.mesh.tensor that does"
                )
            entries[i] = TENSOR
    fsdp = size_of(mesh, fsdp_axes(mesh))
    if fsdp == 1 or not partition.matches([_KERNEL], path):
        return PartitionSpec(*entries)
    for i in range(int(stacked), len(shape)):
        if entries[i] is None and shape[i] % fsdp == 0:
            entries[i] = fsdp_axes(mesh)
            return PartitionSpec(*entries)
    raise UserError(
        f"fsdp={fsdp} divides no side of {path} {list(shape)}: use data for some of the devices "
        "(config.mesh.data) so that fsdp becomes smaller"
    )


def abstract(shapes: partition.Params, specs: Specs, mesh: Mesh) -> dict[str, Any]:
    """The tree as ShapeDtypeStructs that know their place."""
    return partition.unflatten(
        {
            path: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, specs[path])
            )
            for path, leaf in partition.flatten(shapes).items()
        }
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """The first axis, a batch's rows, cut over all but the tensor axis."""
    return NamedSharding(mesh, PartitionSpec(batch_axes(mesh)))


def own_rows(rows: int, mesh: Mesh) -> list[int]:
    """The rows of a global batch that this process's devices compute, in order.

    Processes that share rows (a tensor axis across them) each get them.
    """
    places = by_rows(mesh).addressable_devices_indices_map((rows,)).values()
    found: set[int] = set()
    for place in places:
        found.update(range(*place[0].indices(rows)))
    return sorted(found)


def place_batch(batch: Mapping[str, np.ndarray], rows: int, mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of the batch (see `own_rows`) as part of global arrays over the mesh."""
    sharding, own = by_rows(mesh), {row: i for i, row in enumerate(own_rows(rows, mesh))}

    def place(local: np.ndarray) -> jax.Array:
        def part(index: tuple[slice, ...]) -> np.ndarray:
            first, last, _ = index[0].indices(rows)
            return local[own[first] : own[first] + last - first]

        return jax.make_array_from_callback((rows, *local.shape[1:]), sharding, part)

    return {name: place(local) for name, local in batch.items()}


def place(tree: partition.Params, like: partition.Params) -> dict[str, Any]:
    """The tree in the dtype and place of `like`, a tree of ShapeDtypeStructs with shardings.

    Of a numpy array each device takes its own shard and nothing more.
    """
    wanted = partition.flatten(like)

    def moved(path: str, leaf: Any) -> jax.Array:
        shape, dtype, sharding = wanted[path].shape, wanted[path].dtype, wanted[path].sharding
        if isinstance(leaf, jax.Array):
            return jax.device_put(leaf.astype(dtype), sharding)
        return jax.make_array_from_callback(
            shape, sharding, lambda index: np.asarray(leaf[index], dtype)
        )

    leaves = partition.flatten(tree)
    return partition.unflatten({path: moved(path, leaf) for path, leaf in leaves.items()})


def manual_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes that `jax.shard_map` takes over from the compiler."""
    return batch_axes(mesh) if mesh.shape[TENSOR] > 1 else mesh.axis_names


def manual(spec: PartitionSpec) -> PartitionSpec:
    """The spec without the tensor axis."""
    return PartitionSpec(*[None if entry == TENSOR else entry for entry in spec])


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
        whole = {}
        for path, leaf in partition.flatten(params).items():
            spec = self._entries[prefix + path]
            whole[path] = self._leaf(leaf, tuple(spec)[len(spec) - leaf.ndim :])
        return partition.unflatten(whole)

    def outside_blocks(self, params: partition.Params) -> dict[str, Any]:
        """The tree with all leaves whole that do not belong to a layer; blocks gather their own."""
        leaves = partition.flatten(params)
        inner = {path: leaf for path, leaf in leaves.items() if partition.matches([_BLOCK], path)}
        outer = {path: leaf for path, leaf in leaves.items() if path not in inner}
        return partition.unflatten(inner | partition.flatten(self(partition.unflatten(outer))))

    def _leaf(self, leaf: Array, entries: Sequence[Any]) -> Array:
        cut = [(dim, axis) for dim, entry in enumerate(entries) for axis in _axes(entry)]
        return _gather(tuple(cut), self.reduce_dtype, leaf) if cut else leaf


def _axes(entry: Any) -> tuple[str, ...]:
    """The mesh axes of one entry of a PartitionSpec: none, one, or several."""
    return (entry,) if isinstance(entry, str) else tuple(entry or ())


_BLOCK = r"(language/layers|vision/blocks)(_\d+)?/.*"


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
        small = not partition.matches([_KERNEL], path)
        summed_in = leaf.dtype if small else reduce_dtype(mesh, dtype)
        return lax.psum(leaf.astype(summed_in), axes).astype(leaf.dtype)

    leaves = partition.flatten(grads)
    return partition.unflatten({path: rest(path, leaf) for path, leaf in leaves.items()})


def over_devices(
    function: Callable[..., Any], mesh: Mesh, in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function` run by every device on its own rows, with the tensor axis left to the compiler."""
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names=set(manual_axes(mesh)),
        check_vma=False,
    )
