"""A training run leaves for other tools, and comes back as a checkpoint to talk with."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from llava_jax import partition
from llava_jax.config import parse
from llava_jax.conversion.convert import Conversion, convert
from llava_jax.inference.engine import Engine, ask
from llava_jax.models.compute import Compute
from llava_jax.training.loop import train
from llava_jax.weights.opening import Model, load_model, open_checkpoint
from llava_jax.weights.workdir import load_trained
from tests.tiny_run import tiny_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    train(parse(tiny_recipe(tiny_session)), folder)
    return folder


def answer(model: Model, picture: bytes) -> str:
    engine = Engine(
        model.config,
        model.params,
        model.compute,
        model.tokenizer,
        model.template,
        model.image_mode,
        as_trained=model.as_trained,
    )
    return engine.generate([ask("What colour is it?", picture, max_new_tokens=8)])[0].text


@pytest.mark.parametrize("form", ["orbax", "hf", "original"])
def test_a_run_goes_out_and_answers_the_same(
    run: Path, tiny_session: Path, tmp_path: Path, console: Console, form: str
):
    convert(Conversion(str(run), tmp_path / form, form, verify=True), console)
    before, after = load_model(str(run)), load_model(str(tmp_path / form))
    wanted, found = partition.flatten(before.params), partition.flatten(after.params)
    assert wanted.keys() == found.keys()
    for path, leaf in wanted.items():
        rows = leaf.shape[0] if path.endswith("embedding") else None
        kept = found[path][:rows] if "lm_head" not in path else found[path][:, : leaf.shape[1]]
        np.testing.assert_array_equal(kept, leaf, err_msg=path)
    assert after.template == before.template
    assert after.image_mode == before.image_mode == "pad"
    picture = (tiny_session / "images" / "5.png").read_bytes()
    after = after._replace(compute=before.compute)
    assert answer(after, picture) == answer(before, picture)


def test_what_was_trained_is_what_leaves(run: Path):
    """The opened run is the base with both stages' leaves over it, with the tower's last block."""
    opened = open_checkpoint(str(run))
    trained = partition.flatten(load_trained(run, Compute()).params)
    for path, leaf in trained.items():
        np.testing.assert_array_equal(opened.tensors[path].read(), leaf, err_msg=path)
    beyond = opened.tensors.keys() - trained.keys()
    assert {path.split("/")[1] for path in beyond} == {"blocks_3", "post_norm"}
