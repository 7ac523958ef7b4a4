"""Trains and evaluates variants of a recipe; leaves a table and a plot of what each key does.

  python launch/ablate.py --config=configs/pocket.py:quick --out=DIR \\
    --grid="model.feature_layers=[(-1,), (-2,)]" \\
    --grid="stage.instruct.steps=[100, 300] x model.projector=['linear', 'mlp2x_gelu']"
  python launch/ablate.py --config=configs/pocket.py --out=DIR --plan=configs/ablations/pocket.py

A grid is every combination of its keys' values; several grids stand beside each other. Recipes that
are the same are trained once. --config.KEY=VALUE changes all of them, and --evaluate holds further
flags of launch/evaluate.py, as --evaluate="--benchmark=pope --data=DIR". The same command again
goes on where it stopped.
"""

import copy
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import config_flags

from llava_jax import launching
from llava_jax.errors import SetAside, UserError

if TYPE_CHECKING:  # what reads it is imported once the environment is set
    from llava_jax.evaluation.ablation.plan import Run

_CONFIG = config_flags.DEFINE_config_file("config", None, "The recipe that is varied.")
_OUT = flags.DEFINE_string("out", None, "Folder for the runs and what they say.", required=True)
_GRID = flags.DEFINE_multi_string("grid", [], "KEY=[VALUE, ...], joined by ' x '; repeatable.")
_PLAN = flags.DEFINE_string("plan", "", "Python file whose get_plan() returns grids.")
_EVALUATE = flags.DEFINE_string("evaluate", "", "Benchmarks to run, as flags of evaluate.py.")
flags.mark_flag_as_required("config")

_HERE = Path(__file__).parent


def main() -> None:
    from rich.console import Console

    from llava_jax.config import parse
    from llava_jax.evaluation.ablation.plan import parse_grid, read_plan, runs
    from llava_jax.evaluation.ablation.report import report
    from llava_jax.evaluation.ablation.running import run_all

    launching.read_recipe(_CONFIG)
    grids = [parse_grid(text) for text in _GRID.value]
    grids += read_plan(Path(_PLAN.value).expanduser()) if _PLAN.value else []
    if not grids:
        raise UserError("give --grid, keys and their values, or --plan, a file of grids")
    out, wanted = Path(_OUT.value).expanduser(), runs(grids)
    for run in wanted.values():
        parse(overridden(dict(run.overrides)))  # refuses all before any is trained
    outcomes = run_all(wanted.values(), commands, out, Console(stderr=True))
    report(grids, outcomes, out)
    print((out / "ablation.md").read_text())
    if failed := [outcome.name for outcome in outcomes.values() if outcome.failed]:
        raise SetAside(f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}")


def overridden(overrides: dict[str, Any]) -> Any:
    """The recipe with what one run sets in it."""
    config = copy.deepcopy(_CONFIG.value)
    try:
        config.update_from_flattened_dict(overrides)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the recipe cannot take {overrides}: {error}") from error
    return config


def commands(run: "Run", workdir: Path) -> list[list[str]]:
    """Training, the held-out scenes where the recipe draws any, and the benchmarks."""
    common = config_flags.get_override_values(flags.FLAGS["config"])
    keys = [f"--config.{key}={value}" for key, value in {**common, **run.overrides}.items()]
    recipe = config_flags.get_config_filename(flags.FLAGS["config"])
    python, evaluate = sys.executable, [str(_HERE / "evaluate.py"), f"--checkpoint={workdir}"]
    steps = [[python, str(_HERE / "train.py"), f"--config={recipe}", f"--workdir={workdir}", *keys]]
    if overridden(dict(run.overrides)).scenes.held_out:
        steps.append([python, *evaluate])
    if _EVALUATE.value:
        further = [f"--out={workdir / 'benchmarks'}", *shlex.split(_EVALUATE.value)]
        steps.append([python, *evaluate, *further])
    return steps


if __name__ == "__main__":
    launching.run(main)
