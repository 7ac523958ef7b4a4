"""Names of TPU slices and the devices behind them."""

import pytest

from llava_jax.errors import UserError
from llava_jax.tpu.topology import names, parse_topology


@pytest.mark.parametrize(
    ("name", "chips", "shape"),
    [
        ("v5e-1", 1, (1, 1)),
        ("v5e-64", 64, (8, 8)),
        ("v6e-8", 8, (2, 4)),
        ("v4-64", 32, (2, 4, 4)),  # v4 and v5p count cores
        ("v5p-8", 4, (2, 2, 1)),
        ("4xv5e-64", 256, (8, 8)),
    ],
)
def test_rented_names(name: str, chips: int, shape: tuple[int, ...]):
    topology = parse_topology(name)
    assert (topology.chips, topology.shape) == (chips, shape)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("v5e-60", "v5e-32 or v5e-64"),
        ("v5p-1", "v5p-8 or v5p-16"),
        ("v5e-512", "v5e-128 or v5e-256"),
        ("v7-8", "v5e"),
        ("v5e64", "v5e-64"),
        ("0xv5e-64", "v5e-64"),
    ],
)
def test_what_does_not_exist_names_the_nearest(name: str, near: str):
    with pytest.raises(UserError, match=near):
        parse_topology(name)


@pytest.mark.parametrize(
    "name", ["v5e-1", "v5e-4", "v5e-8", "v5e-16", "v6e-1", "v4-8", "v5p-64", "2xv5e-16"]
)
def test_the_compiler_has_its_devices(tpu_compiler: None, name: str):
    topology = parse_topology(name)
    devices = topology.devices()
    assert len(devices) == topology.chips
    slices = {getattr(device, "slice_index", None) or 0 for device in devices}
    assert len(slices) == topology.slices


def test_every_name_is_a_topology():
    assert all(parse_topology(name).chips for name in names())
