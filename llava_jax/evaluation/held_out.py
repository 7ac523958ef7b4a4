"""Evaluates a run on its held-out scenes: the model, the same without sight, and untrained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from llava_jax.config import Recipe
from llava_jax.errors import UserError
from llava_jax.evaluation.probes import Probe, make_probes
from llava_jax.evaluation.run import (
    ProbeRun,
    compare,
    evaluate_probes,
    print_report,
    sheet_items,
)
from llava_jax.inference.engine import Engine, ask
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.models.compute import Compute, local_compute
from llava_jax.report import read_report, timed, update_report
from llava_jax.sheet import draw_sheet
from llava_jax.weights.workdir import Trained, load_recipe, load_trained, newest_steps

_LONGEST = 48  # tokens: the longest caption of four coloured things
_SHOWN = 12  # scenes on the sheet


def evaluate_held_out(workdir: Path, console: Console) -> dict[str, Any]:
    """Figures of the trained model beside both baselines, printed and returned.

    Leaves them in the workdir's report.json (`held_out`) and a sheet of scenes in samples.png.
    Untrained is the base model with its first, random projector: before warm start and stages.
    What the report holds already of the same checkpoints is only printed.

    Raises:
      UserError: the run drew no scenes, or has trained nothing yet.
    """
    recipe = load_recipe(workdir)
    files = CocoFiles.in_folder(workdir / "data" / "held_out")
    if not files.instances.exists():
        raise UserError(
            f"{workdir} holds no held-out scenes: "
            + (
                "they stayed where it was trained; launch/train.py on this folder draws them again"
                if recipe.scenes.held_out
                else "its recipe draws none"
            )
        )
    steps = newest_steps(workdir, recipe)
    if not steps:
        raise UserError(f"nothing is trained in {workdir} yet: run launch/train.py first")
    known = read_report(workdir)
    if known.get("evaluated") == steps:
        console.print(f"evaluated before, at the same checkpoints: {steps}")
        print_report(known["held_out"], console)
        return known["held_out"]
    with timed(workdir, "evaluate"):
        report = _evaluate(workdir, recipe, files)
    update_report(workdir, evaluated=steps, held_out=report)
    print_report(report, console)
    console.print(f"report: {workdir / 'report.json'}  pictures: {workdir / 'samples.png'}")
    return report


def ask_probes(
    model: Trained,
    compute: Compute,
    probes: Sequence[Probe],
    images: Path,
    name: str,
    *,
    blind: bool = False,
) -> ProbeRun:
    """A model's answers to the probes about the scenes in the folder `images`."""
    engine = Engine(
        model.config, model.params, compute, model.tokenizer, model.template, model.image_mode
    )

    def answer(images: list[Image.Image], questions: list[str]) -> list[str]:
        requests = [
            ask(question, image, max_new_tokens=_LONGEST)
            for question, image in zip(questions, images, strict=True)
        ]
        return [a.text for a in engine.generate(requests)]

    return evaluate_probes(answer, probes, images, blind=blind, name=name)


def _evaluate(workdir: Path, recipe: Recipe, files: CocoFiles) -> dict[str, Any]:
    compute = local_compute(recipe.dtype)
    probes = make_probes(read_whole(files), recipe.seed)
    trained = load_trained(workdir, compute)
    model = ask_probes(trained, compute, probes, files.images, "model")
    blind = ask_probes(trained, compute, probes, files.images, "blind model", blind=True)
    trained = load_trained(workdir, compute, stages=0)
    untrained = ask_probes(trained, compute, probes, files.images, "untrained model")
    draw_sheet(sheet_items(model, files.images, _SHOWN), workdir / "samples.png")
    return compare(model, blind, untrained)
