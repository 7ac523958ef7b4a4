"""How a run's figures on held-out scenes grow with its minutes: a plot and its numbers.

Keep the checkpoints while training, then evaluate each of the last stage's:
  bash launch/pocket.sh --workdir=DIR --config.keep=1000
  python benchmarks/pocket_curve.py --checkpoint=DIR --out=docs/pocket_curve
"""

import json
from pathlib import Path

from absl import flags

from llava_jax import launching

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a training run.", required=True)
_OUT = flags.DEFINE_string("out", None, "Name of the files, without .png and .json.", required=True)


def main() -> None:
    from llava_jax.evaluation.held_out import ask_probes
    from llava_jax.evaluation.probes import make_probes
    from llava_jax.instruct.importers.coco import CocoFiles, read_whole
    from llava_jax.models.compute import local_compute
    from llava_jax.report import read_report
    from llava_jax.weights.checkpoints import StageCheckpoints
    from llava_jax.weights.workdir import checkpoint_folder, load_recipe, load_trained

    workdir = Path(_CHECKPOINT.value).expanduser()
    recipe = load_recipe(workdir)
    compute = local_compute(recipe.dtype)
    files = CocoFiles.in_folder(workdir / "data" / "held_out")
    probes = make_probes(read_whole(files), recipe.seed)
    with StageCheckpoints(checkpoint_folder(workdir, recipe.stages[-1])) as checkpoints:
        steps = checkpoints.steps
    minutes = _minutes(workdir, recipe.stages, read_report(workdir)["minutes"])
    rows = []
    for step in steps:
        model = load_trained(workdir, compute, last_step=step)
        figures = ask_probes(model, compute, probes, files.images, f"model of step {step}").figures
        rows.append({"step": step, "minutes": round(minutes[step - 1], 2), "figures": figures})
        Path(f"{_OUT.value}.json").write_text(json.dumps(rows, indent=1) + "\n")
    _plot(rows, Path(f"{_OUT.value}.png"))


def _minutes(workdir: Path, stages: tuple[str, ...], spent: dict[str, float]) -> list[float]:
    """Minutes of data and training until each step of the last stage is done."""
    seconds = {
        stage: [
            json.loads(line)["seconds"]
            for line in (workdir / "stages" / stage / "metrics.jsonl").open()
        ]
        for stage in stages
    }
    # What training took beyond its steps: the warm start, compilation, sheets, checkpoints.
    beyond = spent["train"] - sum(map(sum, seconds.values())) / 60
    before = spent["data"] + beyond + sum(sum(seconds[s]) for s in stages[:-1]) / 60
    last = seconds[stages[-1]]
    return [before + sum(last[: i + 1]) / 60 for i in range(len(last))]


def _plot(rows: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in rows[0]["figures"]:
        values = [row["figures"][name] for row in rows]
        x = [row["minutes"] for row in rows]
        (line,) = axes.plot(x, [100 * v["value"] for v in values], "o-", label=name)
        low, high = ([100 * v[key] for v in values] for key in ("low", "high"))
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.12)
    axes.set(xlabel="minutes of data and training", ylabel="percent, with 95% intervals")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(ncols=2)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    launching.run(main)
