"""TPU slices by the names under which they are rented, and the devices that jax compiles for."""

import difflib
import re
from dataclasses import dataclass
from typing import Any

import jax

from llava_jax.errors import UserError
from llava_jax.tpu.chips import CHIPS, Chip

# Shapes of slices, by their number of chips. v5e and v6e are one plane, v4 and v5p three axes.
_PLANES = {
    1: (1, 1),
    4: (2, 2),
    8: (2, 4),
    16: (4, 4),
    32: (4, 8),
    64: (8, 8),
    128: (8, 16),
    256: (16, 16),
}
_CUBES = {
    4: (2, 2, 1),
    8: (2, 2, 2),
    16: (2, 2, 4),
    32: (2, 4, 4),
    64: (4, 4, 4),
    128: (4, 4, 8),
    256: (4, 8, 8),
    512: (8, 8, 8),
    1024: (8, 8, 16),
    2048: (8, 16, 16),
}
_CORES = 2  # of a v4 or v5p chip; a rented name counts them
_NAME = re.compile(r"(?:(\d+)x)?(v\d+[ep]?)-(\d+)")


@dataclass(frozen=True)
class Topology:
    """A slice, or several equal ones joined by the data center's network."""

    name: str  # as rented: v5e-64 counts chips, v5p-64 cores; 4xv5e-64 is four slices
    chip: Chip
    shape: tuple[int, ...]  # chips of one slice along each axis of its torus
    slices: int = 1

    @property
    def chips(self) -> int:
        """Of all slices."""
        count = self.slices
        for side in self.shape:
            count *= side
        return count

    def devices(self) -> list[Any]:
        """One device of jax a chip, of a compiler without the hardware.

        Raises:
          UserError: libtpu is not installed.
        """
        from jax.experimental import topologies

        options: dict[str, Any] = {"chips_per_host_bounds": self._host()}
        if len(self.shape) == 3:
            options["chip_config_name"] = "megacore"  # both cores as one device
        if self.slices > 1:
            options["num_slices"] = self.slices
        shape = "x".join(map(str, self.shape))
        try:
            described = topologies.get_topology_desc(
                platform="tpu", topology_name=f"{self.chip.name}:{shape}", **options
            )
        except (RuntimeError, jax.errors.JaxRuntimeError) as error:
            if "libtpu" not in str(error).lower() and "not found" not in str(error).lower():
                raise
            raise UserError(
                "compiling for a TPU needs libtpu: pip install -r requirements-tpu.txt"
            ) from error
        return list(described.devices)

    def _host(self) -> tuple[int, int, int]:
        """Chips of one host: four, or all of the smallest slices of v5e and v6e."""
        if len(self.shape) == 2 and self.shape < (4, 4):
            return (*self.shape, 1)
        return (2, 2, 1)


def parse_topology(name: str) -> Topology:
    """The topology of a name such as v5e-64, v5p-8 or 4xv5e-64.

    Raises:
      UserError: there is none; it names the nearest that there are.
    """
    match = _NAME.fullmatch(name)
    if not match or match[2] not in CHIPS:
        near = difflib.get_close_matches(name, names(), n=3) or ["v5e-16", "v5p-64"]
        raise UserError(
            f"there is no topology {name!r}: write one of {', '.join(sorted(CHIPS))} and a size, "
            f"as in {' or '.join(near)} (4xv5e-64: four slices)"
        )
    slices, chip, size = int(match[1] or 1), match[2], int(match[3])
    sizes = _sizes(chip)
    if size not in sizes or not slices:
        nearest = sorted(sizes, key=lambda other: abs(other - size))[:2]
        shown = " or ".join(f"{chip}-{other}" for other in sorted(nearest))
        raise UserError(f"there is no topology {name!r}: the nearest are {shown}")
    return Topology(name, CHIPS[chip], sizes[size], slices)


def larger(topology: Topology) -> list[Topology]:
    """Slices of the same chip with more chips, the smallest first."""
    chip = topology.chip.name
    every = (parse_topology(f"{chip}-{size}") for size in _sizes(chip))
    return [other for other in every if other.chips > topology.chips]


def names() -> list[str]:
    """Of all single slices."""
    return [f"{chip}-{size}" for chip in CHIPS for size in _sizes(chip)]


def _sizes(chip: str) -> dict[int, tuple[int, ...]]:
    """Size in a rented name -> chips along each axis."""
    if chip in ("v5e", "v6e"):
        return dict(_PLANES)
    return {chips * _CORES: shape for chips, shape in _CUBES.items()}
