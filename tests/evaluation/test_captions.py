"""The caption loss against transformers' own, on a tiny run."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from llava_jax.config import parse
from llava_jax.data.records import LlavaJson
from llava_jax.errors import UserError
from llava_jax.evaluation.captions import caption_loss, evaluate_captions
from llava_jax.models.compute import Compute
from llava_jax.training.loop import train
from llava_jax.weights.workdir import load_trained, save_recipe
from tests.tiny_run import tiny_recipe


def test_a_trained_run_beats_itself_blind_and_untrained(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_recipe(tiny_folder)
    config.stages = ("align",)
    config.stage.align.trainable = ("projector/.*", "language/.*")
    config.stage.align.steps = 150
    config.stage.align.optimizer.learning_rate = 5e-3
    train(parse(config), tmp_path / "run")
    pairs, images = tiny_folder / "captions.json", tiny_folder / "images"
    figures = evaluate_captions(tmp_path / "run", pairs, images, Console(quiet=True))
    assert figures["value"] < 0.5 * figures["blind"]
    assert figures["value"] < 0.1 * figures["untrained"]
    assert figures["value"] < 0.5 * figures["other_image"]
    assert figures["value"] < 0.5 * figures["text_only"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())["held_out_captions"]
    assert {name: report[name] for name in figures} == figures
    assert [set(shown) for shown in report["captions"]] == [{"image", "model", "data"}] * len(
        report["captions"]
    )
    assert (tmp_path / "run" / "captions.png").exists()


def test_an_untrained_model_is_as_good_as_chance_and_order_does_not_matter(
    tiny_folder: Path, tmp_path: Path
) -> None:
    config = tiny_recipe(tiny_folder)
    config.stages = ("align",)
    save_recipe(tmp_path / "run", parse(config))
    model = load_trained(tmp_path / "run", Compute(), stages=0)
    source = LlavaJson(tiny_folder / "captions.json", tiny_folder / "images")
    records = [source[i] for i in range(len(source))]
    loss = caption_loss(model, Compute(), records)
    np.testing.assert_allclose(loss, caption_loss(model, Compute(), records[::-1]), rtol=1e-5)
    assert abs(loss - np.log(model.config.language.vocab_size)) < 1


def test_nothing_trained_yet(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training run"):
        evaluate_captions(
            tmp_path, tiny_folder / "captions.json", tiny_folder / "images", Console()
        )
