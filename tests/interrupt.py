"""A run that gets a signal at a step of its own choosing: no test has to be quick enough for it."""

import os
import signal
from typing import Any
from unittest import mock

from llava_jax.training.metrics import MetricsLog

_TOLD = "INTERRUPT"


def interrupted(stage: str, steps: int, number: signal.Signals) -> dict[str, str]:
    """An environment in which a run of `tiny_recipe` sends itself the signal after those steps."""
    return {_TOLD: f"{stage} {steps} {number.value}"}


def interrupt_as_told() -> None:
    """Reads what `interrupted` says: called in the run's own process, by its config file."""
    if _TOLD not in os.environ:
        return
    stage, steps, number = os.environ[_TOLD].split()
    write = MetricsLog.write

    def write_and_interrupt(log: MetricsLog, step: int, values: dict[str, Any]) -> None:
        write(log, step, values)
        if log._folder.name == stage and step + 1 == int(steps):
            os.kill(os.getpid(), int(number))

    mock.patch.object(MetricsLog, "write", write_and_interrupt).start()
