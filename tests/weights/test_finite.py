"""NaN and infinity are found wherever they stand, without a copy of the tensor."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from llava_jax.errors import UserError
from llava_jax.weights.finite import finite
from llava_jax.weights.stored import StoredTensor

FLOATS = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_bad_number_is_enough(dtype: type, bad: float):
    array = np.full((1100, 1000), ml_dtypes.finfo(dtype).max, dtype)
    array[::2] *= dtype(-1)
    assert finite("norm", StoredTensor.of(array)).read() is array
    array[1099, 3] = bad
    for view in (array, array.T, array[:, ::3], array[1099:, 3]):
        with pytest.raises(UserError, match="norm holds NaN or infinity"):
            finite("norm", StoredTensor.of(view)).read()
    assert finite("norm", StoredTensor.of(array[:1099, ::3])).read().shape == (1099, 334)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_scalars_and_empty_tensors(dtype: type, shape: tuple[int, ...]):
    array = np.ones(shape, dtype)
    assert finite("a", StoredTensor.of(array)).read() is array


def test_integers_are_left_alone():
    tensor = StoredTensor.of(np.arange(3))
    assert finite("a", tensor) is tensor


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_nothing_big_is_made_beside_the_tensor(dtype: type):
    array = np.ones((4096, 4096), dtype)
    for view in (array, array.T, array[:, :4000]):
        tracemalloc.start()
        finite("a", StoredTensor.of(view)).read()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20
