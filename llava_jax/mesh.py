"""The devices of a run as a mesh: which axes there are, and how they follow the machine's network.

Axes, from the slowest network to the fastest:
  slice   TPU slices, joined by the data-centre network; each holds its own copy of the parameters
  data    copies of the parameters within a slice
  fsdp    devices that share one copy; on a torus one axis for each of its dimensions (fsdp_x,
          fsdp_y, ...), since a reduction over one dimension after the other moves half the bytes
          of one over both at once
  tensor  devices that share each product
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from llava_jax.config import MeshShape
from llava_jax.errors import UserError

Platform = Literal["cpu", "tpu"]

TENSOR = "tensor"
_FSDP = ("fsdp_x", "fsdp_y", "fsdp_z")


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """The devices arranged as the recipe says.

    devices: jax devices, or those of a topology that is compiled for; None: all of all processes.
    Raises:
      UserError: the shape does not fit the number of devices, or the slices there are.
    """
    devices = jax.devices() if devices is None else devices
    slices = _slices(devices, shape.slices)
    sizes = _sizes(shape, len(devices))
    physical = _physical(slices[0])
    fsdp = _fsdp_sizes(physical, sizes)
    if fsdp is None:
        physical, fsdp = (len(slices[0]),), [sizes.fsdp]
    # On a TPU this finds the order in which neighbours in the mesh are neighbours in the torus.
    arranged = [mesh_utils.create_device_mesh(physical, devices=members) for members in slices]
    names = ("fsdp",) if len(fsdp) == 1 else _FSDP[: len(fsdp)]
    array = np.stack(arranged).reshape(sizes.slices, sizes.data, *fsdp, sizes.tensor)
    axes = ("slice", "data", *names, TENSOR)
    return Mesh(array, axes, axis_types=(AxisType.Auto,) * len(axes))


def local_mesh() -> Mesh:
    """The first device of this process alone."""
    return make_mesh(MeshShape(), jax.local_devices()[:1])


def batch_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes over which a batch's rows are cut: all but tensor."""
    return tuple(name for name in mesh.axis_names if name != TENSOR)


def fsdp_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes over which parameters are cut."""
    return tuple(name for name in mesh.axis_names if name.startswith("fsdp"))


def size_of(mesh: Mesh, axes: Sequence[str]) -> int:
    """Devices along some axes together."""
    return math.prod(mesh.shape[name] for name in axes)


def platform_of(mesh: Mesh) -> Platform:
    """What a program over this mesh is compiled for, here or elsewhere."""
    return "cpu" if mesh.devices.flat[0].platform == "cpu" else "tpu"


def check_rows(rows: int, accumulate: int, mesh: Mesh) -> None:
    """Raises UserError unless every device gets whole rows of every micro-batch."""
    shares = size_of(mesh, batch_axes(mesh))
    if rows % (shares * accumulate):
        raise UserError(
            f"rows={rows} cannot be shared by {shares} devices in {accumulate} "
            f"micro-batches: make it a multiple of {shares * accumulate}"
        )


def describe(mesh: Mesh) -> str:
    """The axes that have more than one device, as "fsdp_x 8 x fsdp_y 8"."""
    axes = [f"{name} {size}" for name, size in mesh.shape.items() if size > 1]
    return " x ".join(axes) or "one device"


def _sizes(shape: MeshShape, devices: int) -> MeshShape:
    """The shape with the size of fsdp filled in."""
    given = {"slices": shape.slices, "data": shape.data, "tensor": shape.tensor}
    if min(given.values()) < 1 or shape.fsdp < 0:
        raise UserError(f"the sizes of a mesh are at least 1 (fsdp 0: the rest), not {shape}")
    others = math.prod(given.values())
    fsdp = shape.fsdp or devices // others
    if others * fsdp != devices:
        asked = " x ".join(f"{name} {size}" for name, size in (given | {"fsdp": fsdp}).items())
        raise UserError(
            f"a mesh of {asked} needs {max(others * fsdp, others)} devices, there are {devices}: "
            "change config.mesh so that the product is that number (fsdp=0 takes what remains)"
        )
    return MeshShape(shape.slices, shape.data, fsdp, shape.tensor)


def _slices(devices: Sequence[Any], wanted: int) -> list[list[Any]]:
    """The devices of each slice. Simulated ones know no slices and are dealt out in order."""
    found: dict[int, list[Any]] = {}
    for device in devices:
        found.setdefault(getattr(device, "slice_index", 0), []).append(device)
    if len(found) == wanted:
        return list(found.values())
    if devices[0].platform == "cpu" and wanted > 0 and len(devices) % wanted == 0:
        size = len(devices) // wanted
        return [list(devices[i : i + size]) for i in range(0, len(devices), size)]
    raise UserError(
        f"config.mesh.slices={wanted}, but the {len(devices)} devices come in {len(found)} "
        f"slice(s): set it to {len(found)}"
    )


def _physical(devices: Sequence[Any]) -> tuple[int, ...]:
    """The sides of the torus that the devices stand in; (n,) where they have no coordinates."""
    coordinates = np.array([getattr(device, "coords", None) or (i,) for i, device in
                            enumerate(devices)])  # fmt: skip
    sides = coordinates.max(0) - coordinates.min(0) + 1
    if math.prod(sides) != len(devices):
        return (len(devices),)
    return tuple(int(side) for side in sides if side > 1) or (1,)


def _fsdp_sizes(physical: Sequence[int], sizes: MeshShape) -> list[int] | None:
    """What each side of the torus leaves for fsdp, where data takes from the first sides and
    tensor from the last; None where they don't divide the sides so.
    """
    left, data, tensor = list(physical), sizes.data, sizes.tensor
    for i in range(len(left)):
        taken = math.gcd(left[i], data)
        left[i], data = left[i] // taken, data // taken
        if left[i] > 1:
            break
    for i in reversed(range(len(left))):
        taken = math.gcd(left[i], tensor)
        left[i], tensor = left[i] // taken, tensor // taken
        if left[i] > 1:
            break
    if data > 1 or tensor > 1:
        return None
    return [side for side in left if side > 1] or [1]
