"""The evaluation of a tiny run on a few held-out scenes."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from llava_jax import partition
from llava_jax.config import parse
from llava_jax.errors import UserError
from llava_jax.evaluation import held_out
from llava_jax.evaluation.held_out import ask_probes, evaluate_held_out
from llava_jax.evaluation.probes import make_probes
from llava_jax.evaluation.run import FIGURES
from llava_jax.evaluation.views import GRAY
from llava_jax.inference.engine import Engine, ask
from llava_jax.models.compute import Compute
from llava_jax.report import read_report, update_report
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.base import load_base
from llava_jax.weights.checkpoints import StageCheckpoints
from llava_jax.weights.workdir import checkpoint_folder, load_trained, save_recipe
from tests.instruct.drawn import drawn_files, drawn_scenes
from tests.tiny_run import make_weights, tiny_recipe

STEPS = 30


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "_LONGEST", 8)


def saying_yes(params: partition.Params, tokenizer: Tokenizer) -> partition.Params:
    """The decoder's weights such that "ASSISTANT:" is followed by "Yes." and the end, always.

    No layer adds anything, so the head sees the last token alone, and knows which one follows.
    """
    leaves = {path: np.array(leaf) for path, leaf in partition.flatten(params).items()}
    for path, leaf in leaves.items():
        if path.endswith(("attention/out/kernel", "mlp/down/kernel", "lm_head/kernel")):
            leaf[:] = 0
    chain = [*tokenizer.encode(":"), *tokenizer.encode("Yes."), tokenizer.eos_id]
    for token, following in pairwise(chain):
        leaves["lm_head/kernel"][:, following] = leaves["embed/embedding"][token]
    return partition.unflatten(leaves)


@pytest.fixture(scope="module")
def yes_run(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has come to say yes to everything, with held-out scenes."""
    workdir, config = tmp_path_factory.mktemp("yes"), tiny_recipe(tiny_session)
    config.stage.instruct.trainable = ("language/.*",)
    recipe = parse(config)
    save_recipe(workdir, recipe)
    base = load_base(recipe, Compute())
    trained = {"language": saying_yes(base.params["language"], base.tokenizer)}
    with StageCheckpoints(checkpoint_folder(workdir, "instruct")) as checkpoints:
        checkpoints.save(STEPS, trained, {"count": np.zeros(())}, {})
    drawn_files(workdir / "data" / "held_out", drawn_scenes(4, "held_out"))
    return workdir


def test_figures_stand_beside_both_baselines(yes_run: Path) -> None:
    console = Console(record=True, width=100)
    figures = evaluate_held_out(yes_run, console)
    assert figures.keys() == FIGURES.keys()
    presence = figures["presence"]
    assert (presence["value"], presence["blind"], presence["untrained"]) == (0.5, 0.5, 0)
    assert presence["low"] <= 0.5 <= presence["high"] and presence["unparsed"] == 0
    assert all(figures[name]["value"] == 0 for name in FIGURES if name != "presence")
    report = read_report(yes_run)
    assert report["held_out"] == json.loads(json.dumps(figures))
    assert report["evaluated"] == {"instruct": STEPS}
    assert report["minutes"].keys() == {"evaluate"}
    assert "presence" in console.export_text()
    with Image.open(yes_run / "samples.png") as sheet:
        assert sheet.format == "PNG"


def test_only_new_checkpoints_are_evaluated_again(
    yes_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = Path(shutil.copytree(yes_run, tmp_path / "run"))
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    others = {"n": 9, "unparsed": 0, "blind": 0.5, "untrained": 0.0, "above_blind": interval}
    known = {"presence": interval | others}
    calls: list[Path] = []

    def evaluate(folder: Path, *_: object) -> dict:
        calls.append(folder)
        return known

    monkeypatch.setattr(held_out, "_evaluate", evaluate)
    for steps, wanted in (({"instruct": STEPS}, 0), ({"instruct": STEPS - 1}, 1)):
        update_report(workdir, evaluated=steps, held_out=known)
        console = Console(record=True, width=100)
        assert evaluate_held_out(workdir, console) == known
        assert len(calls) == wanted
        assert ("evaluated before" in console.export_text()) == (not wanted)
    assert read_report(workdir)["evaluated"] == {"instruct": STEPS}


def test_probes_are_asked_about_their_own_image_or_about_grey(tmp_path: Path) -> None:
    make_weights(tmp_path, wild=True)
    save_recipe(tmp_path / "run", parse(tiny_recipe(tmp_path)))
    model, compute = load_trained(tmp_path / "run", Compute()), Compute()
    scenes = drawn_scenes(2, "held_out")
    images, probes = drawn_files(tmp_path / "scenes", scenes).images, make_probes(scenes, 0)
    engine = Engine(
        model.config, model.params, compute, model.tokenizer, model.template, model.image_mode
    )
    answers = {}
    for blind in (False, True):
        run = ask_probes(model, compute, probes, images, "model", blind=blind)
        answers[blind] = run.answers
        requests = []
        for probe in probes:
            with Image.open(images / probe.image) as picture:
                shown = Image.new("RGB", picture.size, GRAY) if blind else picture.convert("RGB")
            requests.append(ask(probe.question, shown, max_new_tokens=8))
        assert list(run.answers) == [answer.text for answer in engine.generate(requests)]
    assert answers[False] != answers[True]


def test_a_run_without_scenes_or_training(tiny_session: Path, tmp_path: Path) -> None:
    save_recipe(tmp_path, parse(tiny_recipe(tiny_session)))
    with pytest.raises(UserError, match="no held-out scenes"):
        evaluate_held_out(tmp_path, Console(quiet=True))
    drawn_files(tmp_path / "data" / "held_out", drawn_scenes(1, "held_out"))
    with pytest.raises(UserError, match=r"nothing is trained .* yet"):
        evaluate_held_out(tmp_path, Console(quiet=True))
