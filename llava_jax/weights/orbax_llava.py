"""A whole LLaVA as an orbax checkpoint: `params`, and what no tensor says in llava_jax.json."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from llava_jax import partition
from llava_jax.config import build, plain
from llava_jax.errors import UserError
from llava_jax.models.llava import LlavaConfig
from llava_jax.weights.hf_configs import read_json
from llava_jax.weights.layouts import is_stacked, layer_path
from llava_jax.weights.rules import AS_IS, Table, check
from llava_jax.weights.shapes import llava_shapes
from llava_jax.weights.stored import StoredTensor
from llava_jax.weights.stored_llava import StoredLlava, Usage, whole
from llava_jax.weights.tokenizers import tokenizer_in

DESCRIPTION = "llava_jax.json"
_PARAMS = "params"
_TOGETHER = 2**28  # bytes of tensors that are written together


class _AFewAtATime(ocp.type_handlers.NumpyHandler):
    """Reads tensors, waits until they are written, and forgets them: orbax would copy all."""

    def __init__(self, progress: Callable[[int], None] | None):
        super().__init__(deepcopy_host_arrays=False)
        self._progress, self._done = progress, 0

    async def serialize(
        self,
        values: Sequence[StoredTensor],
        infos: Sequence[Any],
        args: Sequence[ocp.SaveArgs] | None = None,
    ) -> list[Any]:
        waiting = list(zip(values, infos, strict=True))
        while waiting:
            count = _fitting([value.nbytes for value, _ in waiting])
            few, waiting = waiting[:count], waiting[count:]
            arrays = [np.ascontiguousarray(value.read()) for value, _ in few]
            for written in await super().serialize(arrays, [info for _, info in few]):
                written.result()
            self._done += sum(array.nbytes for array in arrays)
            if self._progress:
                self._progress(self._done)
        return []


def _fitting(sizes: list[int]) -> int:
    """How many of the first tensors are written together: at least one."""
    return max(1, int((np.cumsum(sizes) <= _TOGETHER).sum()))


def write_orbax(
    llava: StoredLlava, folder: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Writes params (unrolled layout) and description into an existing folder."""
    handler = ocp.PyTreeCheckpointHandler(
        use_compression=False,
        type_handler_registry=ocp.type_handlers.create_type_handler_registry(
            (StoredTensor, _AFewAtATime(progress))
        ),
    )
    tree = partition.unflatten(llava.tensors)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save((folder / _PARAMS).absolute(), args=ocp.args.PyTreeSave(tree))
    description = {"config": plain(llava.config), "usage": plain(llava.usage)}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def open_orbax(folder: Path) -> StoredLlava:
    """What `write_orbax` wrote.

    Raises:
      UserError: the description or the tensors are damaged.
    """
    description = read_json(folder / DESCRIPTION)
    where = str(folder / DESCRIPTION)
    config = build(LlavaConfig, description.get("config"), f"{where}: config")
    usage = build(Usage, description.get("usage"), f"{where}: usage")
    tensors = open_params(folder / _PARAMS)
    shapes, everything = llava_shapes(config), llava_shapes(whole(config))
    shapes = everything if everything.keys() <= tensors.keys() else shapes
    check(Table({path: (path, AS_IS) for path in shapes}), shapes, tensors, str(folder))
    return StoredLlava(config, tensors, usage, tokenizer_in(folder))


def open_params(folder: Path) -> dict[str, StoredTensor]:
    """The parameters of an orbax checkpoint by path, unrolled; none is read yet.

    Raises:
      UserError: it is no checkpoint, or damaged.
    """
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            metadata = checkpointer.metadata(folder.absolute()).item_metadata.tree
    except Exception as error:
        raise UserError(f"{folder} cannot be read as an orbax checkpoint: {error}") from error
    tensors = {}
    for path, leaf in partition.flatten(metadata).items():
        shape, dtype = tuple(leaf.shape), np.dtype(leaf.dtype)
        read = functools.partial(_read, folder, path, shape, dtype)
        if is_stacked(path):
            for i in range(shape[0]):
                layer = functools.partial(read, i)
                tensors[layer_path(path, i)] = StoredTensor(shape[1:], dtype, layer)
        else:
            tensors[path] = StoredTensor(shape, dtype, read)
    return tensors


def _read(
    folder: Path, path: str, shape: tuple[int, ...], dtype: np.dtype, layer: Any = ...
) -> np.ndarray:
    wanted: Any = partition.unflatten({path: np.empty(shape, dtype)})
    args = ocp.args.PyTreeRestore(
        wanted,
        restore_args=partition.unflatten({path: ocp.RestoreArgs(restore_type=np.ndarray)}),
        partial_restore=True,
    )
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            return partition.flatten(checkpointer.restore(folder.absolute(), args=args))[path][
                layer
            ]
    except Exception as error:
        raise UserError(f"{folder} is damaged: {path} cannot be read ({error})") from error
