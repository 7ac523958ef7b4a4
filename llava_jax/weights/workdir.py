"""The folder of a training run: its recipe, its stages' checkpoints, and the model they make."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from llava_jax import partition
from llava_jax.config import Recipe, build, plain
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.processes import is_first
from llava_jax.run_folder import RunFolder, reaching, write_whole
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.base import load_base
from llava_jax.weights.checkpoints import StageCheckpoints

# Keys that change how a run is watched, and on what and how it is computed, not what: a run may go
# on with others.
_FREE = (
    r"log_every|save_every|keep|sample_every|workers|remat|mesh\..*",
    r"stage\.\w+\.accumulate",
)


class Trained(NamedTuple):
    """A model as far as its run has come; template and image mode are its newest stage's.

    steps: the newest checkpoint of each stage that has one.
    """

    recipe: Recipe
    config: LlavaConfig
    params: partition.Params
    tokenizer: Tokenizer
    template: str
    image_mode: str
    steps: dict[str, int]


def stage_folder(workdir: RunFolder, stage: str) -> RunFolder:
    """Where a stage keeps its metrics and samples."""
    return workdir / "stages" / stage


def checkpoint_folder(workdir: RunFolder, stage: str) -> RunFolder:
    """Where a stage keeps its checkpoints."""
    return stage_folder(workdir, stage) / "checkpoints"


def save_recipe(workdir: RunFolder, recipe: Recipe) -> None:
    """Writes recipe.json, or checks that the run which is already there has the same one.

    A stage that has saved nothing yet may still be changed. Of several processes all check and the
    first one writes.

    Raises:
      UserError: the folder holds a run of another recipe (it names the keys that differ), or it is
        remote and cannot be reached.
    """
    path = workdir / "recipe.json"
    with reaching(workdir):
        known = load_recipe(workdir) if path.exists() else None
    if known is not None:
        free = (*_FREE, *_untouched(workdir, known))
        differing = [
            key
            for key in _differences(plain(known), plain(recipe), "config")
            if not partition.matches(free, key.removeprefix("config."))
        ]
        if differing:
            raise UserError(
                f"{workdir} holds a run of another recipe (they differ in {', '.join(differing)}): "
                "name another --workdir, or give the same recipe to go on with that run"
            )
    if is_first():
        write_whole(path, (json.dumps(plain(recipe), indent=2) + "\n").encode())


def _untouched(workdir: RunFolder, recipe: Recipe) -> list[str]:
    """Keys that nothing in the folder follows from yet: of stages without a checkpoint."""
    folders = {name: checkpoint_folder(workdir, name) for name in recipe.stage}
    with reaching(workdir):
        trained = {
            name
            for name, folder in folders.items()
            if folder.exists() and any(entry.name.isdigit() for entry in folder.iterdir())
        }
    if trained:
        return [rf"stage\.{re.escape(name)}\..*" for name in folders if name not in trained]
    return [r"(?!scenes\.|seed).*"] if recipe.scenes.train else [".*"]


def load_recipe(workdir: RunFolder) -> Recipe:
    """The recipe of a run. Raises UserError where there is no run."""
    path = workdir / "recipe.json"
    if not path.exists():
        raise UserError(f"no training run in {workdir}: it has no recipe.json")
    try:
        return build(Recipe, json.loads(path.read_text()), "config")
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it and give its recipe again"
        ) from None


def load_trained(
    workdir: Path, compute: Compute, *, stages: int | None = None, last_step: int | None = None
) -> Trained:
    """The base model with what each stage has trained so far laid over it, in order.

    Args:
      stages: only the first so many stages (0: the untrained model); None: all.
      last_step: the step of the last of them to read; None: its newest.
    """
    recipe = load_recipe(workdir)
    base = load_base(recipe, compute)
    params, last = base.params, recipe.stage[recipe.stages[-1]]
    steps = newest_steps(workdir, recipe)
    chosen = [name for name in recipe.stages[:stages] if name in steps]
    for name in chosen:
        last = recipe.stage[name]
        trainable, frozen = partition.split(params, last.trainable)
        step = last_step if name == chosen[-1] else None
        with StageCheckpoints(checkpoint_folder(workdir, name)) as checkpoints:
            params = partition.merge(checkpoints.restore_params(trainable, step), frozen)
    return Trained(
        recipe, base.config, params, base.tokenizer, last.template, last.image_mode, steps
    )


def newest_steps(workdir: Path, recipe: Recipe) -> dict[str, int]:
    """The newest step saved in each stage that has saved any."""
    steps = {}
    for name in recipe.stages:
        if checkpoint_folder(workdir, name).is_dir():
            with StageCheckpoints(checkpoint_folder(workdir, name)) as checkpoints:
                if checkpoints.latest is not None:
                    steps[name] = checkpoints.latest
    return steps


def _differences(old: Any, new: Any, where: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{where}.{k}")]
    same = json.dumps(old) == json.dumps(new)  # tuples come back from JSON as lists
    return [] if same else [where]
