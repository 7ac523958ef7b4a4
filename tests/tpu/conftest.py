"""Programs compiled for TPUs on this machine; without libtpu these tests skip and say so."""

import importlib.util
import os

import pytest


@pytest.fixture(scope="session")
def tpu_compiler() -> None:
    """libtpu, told that it is alone on a machine without TPUs."""
    from llava_jax.tpu.environment import COMPILER_ENVIRONMENT, own_temporary_folder

    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("no TPU compiler: pip install -r requirements-tpu.txt")
    # What tells libtpu where it is; programs that other tests start want the defaults of jax.
    for_libtpu = {k: v for k, v in COMPILER_ENVIRONMENT.items() if not k.startswith("JAX_")}
    os.environ.update(for_libtpu)
    own_temporary_folder()
