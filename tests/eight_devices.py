"""Programs that need eight devices: they have to be asked for before jax starts."""

import os
import subprocess
import sys
from typing import Any

from tests.conftest import REPOSITORY

DEVICES = 8


def run_on_eight_devices(module: str, *arguments: str, **environment: str) -> str:
    """What `python -m module` prints where a CPU passes for eight devices."""
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    settings: dict[str, Any] = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | settings | {"XLA_FLAGS": flags} | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
