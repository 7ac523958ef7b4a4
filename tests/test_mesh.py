"""Meshes of devices that need not exist: only their coordinates and slices are looked at."""

from dataclasses import dataclass
from itertools import product

import jax
import pytest

from llava_jax.config import MeshShape
from llava_jax.errors import UserError
from llava_jax.mesh import (
    batch_axes,
    check_rows,
    describe,
    fsdp_axes,
    local_mesh,
    make_mesh,
    size_of,
)


@dataclass(frozen=True)
class Chip:
    """As much of a TPU device as a mesh is made from."""

    id: int
    coords: tuple[int, int, int]
    slice_index: int = 0
    process_index: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"
    core_on_chip: int = 0


def torus(*sides: int, slices: int = 1) -> list[Chip]:
    places = [(x, y, z) for z, y, x in product(*(range(s) for s in reversed(sides)))]
    return [
        Chip(s * len(places) + i, place, s) for s in range(slices) for i, place in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("shape", "sides", "axes"),
    [
        (MeshShape(), (8, 8, 1), "fsdp_x 8 x fsdp_y 8"),
        (MeshShape(), (2, 4, 4), "fsdp_x 2 x fsdp_y 4 x fsdp_z 4"),
        (MeshShape(tensor=2), (8, 8, 1), "fsdp_x 8 x fsdp_y 4 x tensor 2"),
        (MeshShape(tensor=8), (8, 8, 1), "fsdp 8 x tensor 8"),
        (MeshShape(tensor=16), (8, 8, 1), "fsdp 4 x tensor 16"),
        (MeshShape(data=2, tensor=4), (4, 4, 1), "data 2 x fsdp 2 x tensor 4"),
        (MeshShape(data=4, fsdp=4), (4, 4, 1), "data 4 x fsdp 4"),
        (MeshShape(data=16, fsdp=1), (4, 4, 1), "data 16"),
        (MeshShape(), (1, 1, 1), "one device"),
    ],
)
def test_axes_follow_the_sides_of_the_torus(shape, sides, axes):
    mesh = make_mesh(shape, torus(*sides))
    assert describe(mesh) == axes
    assert size_of(mesh, batch_axes(mesh)) * shape.tensor == mesh.size
    assert {device.id for device in mesh.devices.flat} == set(range(mesh.size))


def test_each_fsdp_axis_stays_on_one_side_of_the_torus():
    mesh = make_mesh(MeshShape(), torus(8, 8, 1))
    grid = mesh.devices.reshape(8, 8)
    assert fsdp_axes(mesh) == ("fsdp_x", "fsdp_y")
    for line in (*grid, *grid.T):
        places = [device.coords for device in line]
        assert len({x for x, _, _ in places}) == 1 or len({y for _, y, _ in places}) == 1


def test_slices_are_never_cut():
    mesh = make_mesh(MeshShape(slices=2, tensor=2), torus(2, 4, 1, slices=2))
    assert describe(mesh) == "slice 2 x fsdp_x 2 x fsdp_y 2 x tensor 2"
    for number, part in enumerate(mesh.devices):
        assert {device.slice_index for device in part.flat} == {number}


@pytest.mark.parametrize(
    ("shape", "devices", "message"),
    [
        (MeshShape(fsdp=3), torus(2, 2, 1), "needs 3 devices, there are 4"),
        (MeshShape(tensor=3), torus(2, 2, 1), "change config.mesh"),
        (MeshShape(data=8), torus(2, 2, 1), "needs 8 devices, there are 4"),
        (MeshShape(data=0), torus(2, 2, 1), "at least 1"),
        (MeshShape(slices=2), torus(2, 2, 1), "come in 1 slice"),
        (MeshShape(), torus(2, 2, 1, slices=2), "set it to 2"),
    ],
)
def test_shapes_that_do_not_fit(shape, devices, message):
    with pytest.raises(UserError, match=message):
        make_mesh(shape, devices)


def test_rows_must_divide():
    mesh = local_mesh()
    assert mesh.devices.flat[0] == jax.local_devices()[0]
    check_rows(8, 4, mesh)
    with pytest.raises(UserError, match="make it a multiple of 3"):
        check_rows(8, 3, mesh)
