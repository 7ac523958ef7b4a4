"""Where every parameter and every batch lies on a mesh.

Three steps lead from a parameter's path to its place. `_AXES` names its dimensions (a table of
regexes that must cover every path); `Rules` says which of these names the tensor axis cuts; and
fsdp cuts the first dimension that is left and divides, so that a shard is one run of memory.
The table of word embeddings alone is cut another way (`_table_spec`).

Data and fsdp are manual axes (`jax.shard_map`): each device computes its own rows, with parameters
that gather.py brings together. The tensor axis is left to the compiler.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.mesh import TENSOR, batch_axes, fsdp_axes, size_of

Specs = dict[str, PartitionSpec]
Names = tuple[str | None, ...]

TABLE = "language/embed/embedding"
_LANES = 128  # of a TPU's registers: narrower rows would waste them

# The names of a leaf's dimensions; a stacked leaf has the layers before them. () is whole
# everywhere: what is small is not worth a collective of its own.
_AXES: list[tuple[str, Names]] = [
    (TABLE, ("vocab", "width")),
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
KERNEL = r".*/(kernel|embedding)"


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
    if fsdp == 1 or not partition.matches([KERNEL], path):
        return PartitionSpec(*entries)
    if path == TABLE and tensor == 1 and (cut := _table_spec(shape, mesh)):
        return cut
    for i in range(int(stacked), len(shape)):
        if entries[i] is None and shape[i] % fsdp == 0:
            entries[i] = fsdp_axes(mesh)
            return PartitionSpec(*entries)
    raise UserError(
        f"fsdp={fsdp} divides no side of {path} {list(shape)}: use data for some of the devices "
        "(config.mesh.data) so that fsdp becomes smaller"
    )


def _table_spec(shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec | None:
    """Of word embeddings [V,d]: d over as many axes as leave whole lanes, V over the others.

    Where d is cut, the states of a batch's words are exchanged instead of the table (see
    `Gather.look_up`): the bytes are those of d/n columns of each word, not of the vocabulary.
    None: no such cut divides.
    """
    axes = fsdp_axes(mesh)
    for k in range(len(axes)):
        over_vocab, over_width = axes[:k], axes[k:]
        pieces = size_of(mesh, over_width)
        whole = shape[1] % pieces == 0 and shape[0] % size_of(mesh, over_vocab) == 0
        if whole and shape[1] >= _LANES * pieces:
            return PartitionSpec(over_vocab or None, over_width)
    return None


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
