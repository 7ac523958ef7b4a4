"""How long a step of a counted program would take on a chip, from public figures: modelled.

Products at the peak, HBM and the host's memory at their bandwidths and asynchronous collectives
run at the same time, so the longest of them counts; synchronous collectives come on top. What
crosses slices is reckoned at the chip's share of the data center's network, everything else at the
bandwidth of all its ICI links together. Nothing else is in it: no launch, no input, no imbalance.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from llava_jax.tpu.chips import Chip
from llava_jax.tpu.counting.collectives import Collective
from llava_jax.tpu.counting.program import Program


@dataclass(frozen=True)
class StepTime:
    """Modelled seconds of one step."""

    compute: float  # products and kernels at the chip's peak
    hbm: float
    host: float  # what is offloaded to the host's memory and read back
    ici: float  # all collectives, those that overlap and those that do not
    ici_exposed: float  # the synchronous ones, which the step waits for
    total: float
    limited_by: str  # the longest part


def step_time(program: Program, chip: Chip) -> StepTime:
    """The roofline of one step."""
    compute = program.flops / chip.peak
    hbm = program.hbm_bytes / chip.hbm_bandwidth
    overlapped = _seconds((c for c in program.collectives if c.overlapped), chip)
    exposed = _seconds((c for c in program.collectives if not c.overlapped), chip)
    host = program.host_bytes / chip.host_bandwidth
    parts = {"compute": compute, "hbm": hbm, "host": host, "overlapped collectives": overlapped}
    longest = max(parts, key=lambda part: parts[part])
    if exposed > parts[longest]:
        longest = "exposed collectives"
    total = max(parts.values()) + exposed
    return StepTime(compute, hbm, host, overlapped + exposed, exposed, total, longest)


def _seconds(collectives: Iterable[Collective], chip: Chip) -> float:
    return math.fsum(
        c.total / (chip.dcn_bandwidth if c.across_slices else chip.ici_bandwidth)
        for c in collectives
    )
