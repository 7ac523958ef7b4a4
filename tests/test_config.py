"""Recipes: filled as ml_collections, read as dataclasses, refused with a sentence."""

import dataclasses
import json
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from llava_jax import config
from llava_jax.errors import UserError


def recipe():
    """Two stages, as a file in configs/ writes them."""
    filled = config.new_recipe("align", "instruct")
    filled.name = "test"
    filled.model.feature_layers = (-1, -2)
    filled.stage.align.data.captions = config.new_source("captions.json", "images")
    filled.stage.align.optimizer.learning_rate = 2e-3
    filled.stage.instruct.trainable = ("projector/.*", "language/.*")
    filled.stage.instruct.optimizer.rates = (("projector/.*", 2e-5),)
    return filled


def test_a_recipe_is_read_typed():
    parsed = config.parse(recipe())
    assert parsed.stages == ("align", "instruct")
    assert parsed.model.feature_layers == (-1, -2)
    assert parsed.stage["align"].data == {"captions": config.Source("captions.json", "images")}
    assert parsed.stage["align"].optimizer == config.Optimizer(learning_rate=2e-3)
    assert parsed.stage["instruct"].optimizer.rates == (("projector/.*", 2e-5),)
    untouched = dataclasses.replace(parsed, name="", model=config.Model(), stages=(), stage={})
    assert untouched == config.Recipe()


def test_a_recipe_survives_json():
    parsed = config.parse(recipe())
    stored = json.loads(json.dumps(config.plain(parsed)))
    assert config.build(config.Recipe, stored, "config") == parsed


def test_stages_do_not_share_their_values():
    filled = recipe()
    filled.stage.align.length = 512
    assert config.parse(filled).stage["instruct"].length == config.Stage().length


@pytest.mark.parametrize("place", ["", "model", "stage.align", "stage.align.optimizer"])
def test_a_key_that_does_not_exist_cannot_be_set(place: str):
    filled = recipe()
    for name in filter(None, place.split(".")):
        filled = filled[name]
    with pytest.raises((AttributeError, KeyError), match="learning_rat"):
        filled.learning_rat = 1.0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.visoin", "clip", "config.model has no key 'visoin'; it has"),
        ("stage.align.data.a.pth", "x", "config.stage.align.data.a has no key 'pth'"),
        ("seed", "seven", "config.seed must be int, not 'seven'"),
        ("seed", 1.5, "config.seed must be int, not 1.5"),
        ("seed", True, "config.seed must be int, not True"),
        ("name", 3, "config.name must be str, not 3"),
        ("stage.align.pack", 1, "config.stage.align.pack must be bool, not 1"),
        ("dtype", "float16", r"config.dtype must be one of \['auto', 'float32', 'bfloat16'\]"),
        ("model.feature_layers", ("-2",), "config.model.feature_layers must be int, not '-2'"),
        ("model.feature_layers", -2, "config.model.feature_layers must be a list"),
        ("stage.align.optimizer.rates", (("a", 1e-3, 2),), "rates must have 2 parts, not"),
        ("stage.align.trainable", "projector/.*", "config.stage.align.trainable must be a list"),
        ("model", "clip", "config.model must be a group of keys, not 'clip'"),
        ("stage", (), "config.stage must be a group of keys"),
        ("keep", 0, "config.keep must be at least 1, not 0"),
        ("stage.align.rows", -4, "config.stage.align.rows must be at least 1, not -4"),
        ("stage.align.epochs", float("nan"), "config.stage.align.epochs must be at least 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(path: str, value, message: str):
    values = config.plain(config.parse(config.new_recipe("align")))
    *parents, key = path.split(".")
    inner = values
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[key] = value
    with pytest.raises(UserError, match=message):
        config.build(config.Recipe, values, "config")


@pytest.mark.parametrize("stages", [("align", "later"), ()])
def test_stages_that_are_not_there_are_refused(stages: tuple[str, ...]):
    filled = config.new_recipe("align")
    filled.stages = stages
    with pytest.raises(UserError, match=r"config\.stages must name stages of \['align'\]"):
        config.parse(filled)


def test_a_whole_number_is_a_rate():
    values = config.plain(config.parse(config.new_recipe("align")))
    values["stage"]["align"]["epochs"] = 3
    epochs = config.build(config.Recipe, values, "config").stage["align"].epochs
    assert (epochs, type(epochs)) == (3.0, float)


def test_flags_override_the_file(tmp_path: Path):
    """As the launchers do it: --config=FILE --config.KEY=VALUE."""
    file = tmp_path / "recipe.py"
    file.write_text(
        "from llava_jax.config import new_recipe\n"
        "def get_config():\n"
        "    return new_recipe('align')\n"
    )
    arguments = [
        "program",
        f"--config={file}",
        "--config.seed=7",
        "--config.stage.align.optimizer.learning_rate=0.5",
        "--config.model.feature_layers=(-1, -2)",
        "--config.stage.align.pack=true",
    ]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    parsed = config.parse(values.config)
    assert parsed.seed == 7
    assert parsed.stage["align"].optimizer.learning_rate == 0.5
    assert parsed.model.feature_layers == (-1, -2)
    assert parsed.stage["align"].pack is True


def test_the_cache_folder_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path))
    assert config.cache_folder() == tmp_path
    monkeypatch.delenv("LLAVA_JAX_CACHE")
    assert config.cache_folder() == Path.home() / ".cache" / "llava_jax"
