"""What a recipe starts from: a fresh projector, or a saved one."""

from pathlib import Path

import numpy as np
import pytest

from llava_jax.config import parse
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.weights.base import load_base, open_base
from llava_jax.weights.projectors import write_projector
from tests.tiny_run import tiny_recipe


def test_a_saved_projector_is_where_training_starts(tiny_folder: Path):
    config = tiny_recipe(tiny_folder)
    fresh = open_base(parse(config))
    config.seed = 7
    other = load_base(parse(config), Compute()).params["projector"]["dense_0"]["kernel"]
    write_projector(fresh.tensors, fresh.config, tiny_folder / "mm_projector.bin")
    config.weights.projector = str(tiny_folder / "mm_projector.bin")
    loaded = load_base(parse(config), Compute()).params["projector"]["dense_0"]["kernel"]
    np.testing.assert_array_equal(loaded, fresh.tensors["projector/dense_0/kernel"].read())
    assert not np.array_equal(loaded, other)
    config.model.projector = "linear"
    with pytest.raises(UserError, match="of kind 'mlp2x_gelu', the recipe's is 'linear'"):
        load_base(parse(config), Compute())
