"""Whole runs of the tiny recipe, in this process."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from llava_jax import partition
from llava_jax.config import Source, parse
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.training.loop import train
from llava_jax.weights.base import load_base
from llava_jax.weights.workdir import (
    checkpoint_folder,
    load_recipe,
    load_trained,
    save_recipe,
)
from tests.tiny_run import tiny_recipe


def assert_equal(a: partition.Params, b: partition.Params) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def test_two_stages_their_files_and_a_second_call(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    recipe, workdir = parse(tiny_recipe(tiny_folder)), tmp_path / "run"
    params = train(recipe, workdir)

    base = load_base(recipe, Compute()).params
    assert_equal(params["vision"], base["vision"])
    moved = partition.flatten(params["language"])["layers_0/mlp/up/kernel"]
    assert np.abs(moved - partition.flatten(base["language"])["layers_0/mlp/up/kernel"]).max() > 0
    for stage in ("align", "instruct"):
        folder = workdir / "stages" / stage
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
        assert [line["step"] for line in lines] == list(range(8))
        assert lines[-1]["loss"] < lines[0]["loss"]
        wanted = {"loss", "grad_norm", "learning_rate", "tokens_per_second", "images_per_second"}
        assert wanted | {"padding", "tflops_per_second", "memory_gib"} <= lines[0].keys()
        assert (folder / "samples" / "step_000008.png").exists()
        saved = sorted(path.name for path in (folder / "checkpoints").iterdir())
        assert saved == ["6", "8"]
    # Stage 1 keeps the projector alone: some 10 KB of the decoder's half megabyte.
    size = {
        name: sum(
            f.stat().st_size
            for f in (workdir / "stages" / name / "checkpoints" / "8" / "params").rglob("*")
            if f.is_file()
        )
        for name in ("align", "instruct")
    }
    assert size["align"] < size["instruct"] / 4

    trained = load_trained(workdir, Compute())
    assert_equal(trained.params, params)
    assert trained.steps == {"align": 8, "instruct": 8}
    assert (trained.template, trained.image_mode) == ("vicuna_v1", "pad")
    after_one = load_trained(workdir, Compute(), stages=1)
    assert_equal(after_one.params["language"], base["language"])
    assert after_one.template == "plain"

    capsys.readouterr()
    assert_equal(train(recipe, workdir), params)
    assert "stage instruct: done before, 8 steps" in capsys.readouterr().err


def test_a_folder_of_another_recipe_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = parse(tiny_recipe(tiny_folder))
    short = dataclasses.replace(recipe, stages=("align",))
    train(short, tmp_path / "run")
    with pytest.raises(UserError, match=r"another recipe.*config\.seed"):
        train(dataclasses.replace(short, seed=1), tmp_path / "run")
    train(dataclasses.replace(short, log_every=1), tmp_path / "run")  # only how it is watched


def test_a_mistake_in_the_last_stage_is_said_before_the_first(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe, workdir = parse(tiny_recipe(tiny_folder)), tmp_path / "run"

    def train_with(stage: str, **changes: Any) -> None:
        changed = dataclasses.replace(recipe.stage[stage], **changes)
        train(dataclasses.replace(recipe, stage=recipe.stage | {stage: changed}), workdir)

    nowhere = {"instructions": Source("/nowhere.json", "/nowhere")}
    mistakes = [
        ({"template": "vicuna_v9"}, "No template is called 'vicuna_v9'"),
        ({"trainable": ("langage/.*",)}, "no parameter matches"),
        ({"data": nowhere}, "cannot read the data /nowhere.json"),
    ]
    for changes, message in mistakes:
        with pytest.raises(UserError, match=message):
            train_with("instruct", **changes)
    assert not (workdir / "stages").exists()
    # and what was mistaken is no run yet that a mended recipe would differ from
    train(dataclasses.replace(recipe, stages=("align",)), workdir)
    with pytest.raises(UserError, match=r"another recipe.*config\.stage\.align\.template"):
        train_with("align", template="vicuna_v1")


def test_a_stage_that_has_saved_nothing_may_change(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = parse(tiny_recipe(tiny_folder))
    save_recipe(tmp_path, recipe)
    (checkpoint_folder(tmp_path, "align") / "8").mkdir(parents=True)
    stages = recipe.stage | {"instruct": dataclasses.replace(recipe.stage["instruct"], steps=9)}
    save_recipe(tmp_path, dataclasses.replace(recipe, stage=stages))
    assert load_recipe(tmp_path).stage["instruct"].steps == 9


def test_weights_of_another_size_are_named(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_recipe(tiny_folder)
    config.model.language = "vicuna_7b"
    with pytest.raises(UserError, match=r"vicuna_7b.*width 64 \(recipe: 4096\)"):
        train(parse(config), tmp_path / "run")


def test_cached_features_train_the_same(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_recipe(tiny_folder)
    config.stages = ("align",)
    pixels = train(parse(config), tmp_path / "pixels")
    config.stage.align.cache_features = True
    cached = train(parse(config), tmp_path / "cached")
    for path, leaf in partition.flatten(pixels["projector"]).items():
        other = partition.flatten(cached["projector"])[path]
        np.testing.assert_allclose(leaf, other, atol=2e-3)  # features are kept in bfloat16


def test_text_alone_is_trained_on_without_a_sheet(tiny_folder: Path, tmp_path: Path) -> None:
    path = tiny_folder / "instructions.json"
    path.write_text(json.dumps(json.loads(path.read_text())[3:4]))  # the one without an image
    config = tiny_recipe(tiny_folder)
    config.stages = ("instruct",)
    config.stage.instruct.steps = 1
    train(parse(config), tmp_path / "run")
    written = {path.name for path in (tmp_path / "run" / "stages" / "instruct").iterdir()}
    assert "checkpoints" in written and "samples" not in written


def test_rows_that_devices_cannot_share(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_recipe(tiny_folder)
    config.stage.align.accumulate = 3
    with pytest.raises(UserError, match="rows=4 cannot be shared"):
        train(parse(config), tmp_path / "run")
