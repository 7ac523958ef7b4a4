"""Public figures of TPU chips.

Sources: the chips' pages in Google Cloud's documentation (cloud.google.com/tpu/docs/v4, v5e, v5p,
v6e) for peak, HBM and ICI (given in Gbps a chip: all its links, one direction). DCN: for v5e and
v6e those pages' bandwidth of a pod, shared by its 256 chips; for v5p, and for PCIe to the host,
"How To Scale Your Model" (jax-ml.github.io/scaling-book); v4 has no DCN figure published, so v5e's
is taken. Usable HBM is what the compiler itself names when a program does not fit.
"""

from dataclasses import dataclass

_GB, _GIB = 1e9, 2**30


@dataclass(frozen=True)
class Chip:
    """One chip, a v4 or v5p with both its cores."""

    name: str
    peak: float  # bf16 floating point operations a second
    hbm: float  # bytes that a program may use
    hbm_bandwidth: float  # bytes a second
    ici_bandwidth: float  # bytes a second over all links
    dcn_bandwidth: float  # bytes a second to other slices, a chip's share of its host's network
    host_bandwidth: float  # bytes a second to the host's memory


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 30.75 * _GIB, 1228 * _GB, 300 * _GB, 3.125 * _GB, 16 * _GB),
        Chip("v5e", 197e12, 15.75 * _GIB, 819 * _GB, 200 * _GB, 3.125 * _GB, 16 * _GB),
        Chip("v5p", 459e12, 95.74 * _GIB, 2765 * _GB, 600 * _GB, 6.25 * _GB, 16 * _GB),
        Chip("v6e", 918e12, 31.25 * _GIB, 1640 * _GB, 448 * _GB, 12.5 * _GB, 32 * _GB),
    )
}
