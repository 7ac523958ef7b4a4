"""What a stage leaves on disk: the parameters it trains, its optimizer and its place in the data.

Orbax writes each checkpoint under a temporary name and renames it when it is whole (in a bucket it
marks it instead), so a run that is killed while saving resumes from the one before.
"""

import shutil
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.run_folder import RunFolder, is_remote, reaching

_REASON = 200  # letters of what Orbax says: it can be pages


def _abstract(tree: Any) -> Any:
    """Shapes, dtypes and places of a tree of arrays, or of a tree that is abstract already.

    What has no place of its own comes to this process's first device: the checkpoint may have been
    written by devices that are not here.
    """
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def placed(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None) or here
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(placed, tree)


def _brief(reason: object) -> str:
    return " ".join(str(reason).split())[:_REASON]


class StageCheckpoints:
    """The checkpoints of one stage, saved in the background, the newest `keep` of them kept."""

    def __init__(self, folder: RunFolder, keep: int = 2) -> None:
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        names = ("params", "optimizer", "data")
        root = folder if is_remote(folder) else folder.absolute()
        with reaching(folder):
            self._manager = ocp.CheckpointManager(root, options=options, item_names=names)

    @property
    def steps(self) -> list[int]:
        """The steps that are on disk."""
        return sorted(self._manager.all_steps())

    @property
    def latest(self) -> int | None:
        """The newest step that was saved whole; None before the first."""
        return self._manager.latest_step()

    def save(
        self, step: int, params: partition.Params, optimizer: Any, data: dict[str, Any]
    ) -> None:
        """Copies the arrays and returns; they are written while training goes on.

        Raises:
          UserError: this checkpoint, or the one before, could not be written.
        """
        if not is_remote(self.folder):
            needed = sum(leaf.nbytes for leaf in jax.tree.leaves((params, optimizer)))
            free = shutil.disk_usage(self.folder).free
            if free < needed:
                raise self._unsaved(
                    f"it needs {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f}"
                )
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params),
            optimizer=ocp.args.StandardSave(optimizer),
            data=ocp.args.JsonSave(data),
        )
        try:
            self._manager.save(step, args=items)
        except Exception as error:
            raise self._unsaved(error) from error

    def restore(
        self, params: partition.Params, optimizer: Any
    ) -> tuple[partition.Params, Any, dict[str, Any]]:
        """The newest checkpoint: parameters, optimizer and data position.

        The arguments give the shapes, dtypes and shardings wanted.
        """
        items = ocp.args.Composite(
            params=ocp.args.StandardRestore(_abstract(params)),
            optimizer=ocp.args.StandardRestore(_abstract(optimizer)),
            data=ocp.args.JsonRestore(),
        )
        restored = self._restore(items)
        return restored.params, restored.optimizer, restored.data

    def restore_params(self, params: partition.Params, step: int | None = None) -> partition.Params:
        """The trained parameters alone, of a step or of the newest checkpoint."""
        restore = ocp.args.StandardRestore(_abstract(params))
        return self._restore(ocp.args.Composite(params=restore), step).params

    def _restore(self, items: ocp.args.Composite, step: int | None = None) -> Any:
        step = self.latest if step is None else step
        try:
            return self._manager.restore(step, args=items)
        except Exception as error:
            raise UserError(
                f"the checkpoint of step {step} in {self.folder} cannot be read ({_brief(error)}). "
                "It may belong to another recipe, or be damaged: then remove that step's folder "
                "to go on from the one before"
            ) from error

    def wait(self) -> None:
        """Returns when everything is on disk. Raises UserError if it could not be written."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unsaved(error) from error

    def _unsaved(self, reason: object) -> UserError:
        return UserError(
            f"could not save a checkpoint in {self.folder}: {_brief(reason)}. Earlier checkpoints "
            "are untouched; make room (or name another --workdir) and run the same command again"
        )

    def __enter__(self) -> "StageCheckpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.wait()
        self._manager.close()
