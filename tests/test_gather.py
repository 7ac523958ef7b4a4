"""What crosses between devices: words of a table that is cut, and the gradient that returns."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.gather import take_rows
from tests.eight_devices import run_on_eight_devices


@pytest.mark.slow
def test_words_and_gradients_are_those_of_the_whole_table():
    found = json.loads(run_on_eight_devices("tests.words_on_meshes"))
    assert len(found) == 4
    for words, gradient in found.values():
        assert words == 0 and gradient < 1e-5


def test_a_word_that_stands_often_is_counted_to_the_end():
    """Ones summed in bfloat16 stay at 256."""
    table = jnp.zeros((4, 8), jnp.bfloat16)
    ids = jnp.array([[1] * 999, [2] * 999])
    rows, transpose = jax.vjp(lambda table: take_rows(table, ids), table)
    assert rows.shape == (2, 999, 8)
    gradient = transpose(jnp.ones_like(rows))[0]
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(gradient[:, 0], jnp.array([0, 999, 999, 0], jnp.bfloat16))
