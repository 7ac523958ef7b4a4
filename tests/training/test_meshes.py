"""Whatever the mesh, the losses are those of one device."""

import json

import numpy as np
import pytest

from tests.eight_devices import run_on_eight_devices
from tests.training.steps_on_meshes import CASES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, list[float]]]:
    return json.loads(run_on_eight_devices("tests.training.steps_on_meshes"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_losses_as_on_one_device(figures, case: str):
    wanted = figures[next((kind for kind in ("stage 1", "tied") if case.startswith(kind)), "one")]
    np.testing.assert_allclose(figures[case]["loss"], wanted["loss"], rtol=2e-5)
    np.testing.assert_allclose(figures[case]["grad_norm"], wanted["grad_norm"], rtol=1e-3)
    assert wanted["loss"][-1] < wanted["loss"][0]
