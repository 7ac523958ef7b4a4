"""How gradients of a real model's sizes cross a slice, in the program of the TPU's compiler."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from llava_jax.config import MeshShape
from llava_jax.gather import Gather
from llava_jax.mesh import fsdp_axes, make_mesh
from llava_jax.sharding import over_devices
from llava_jax.tpu.counting.program import count_program
from llava_jax.tpu.topology import parse_topology


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 11008), (11008, 4096)])
@pytest.mark.parametrize("topology", ["v5e-64", "v5p-64"])
def test_each_gradient_crosses_once_and_without_padding(
    tpu_compiler: None, topology: str, shape: tuple[int, int]
):
    slice_ = parse_topology(topology)
    mesh = make_mesh(MeshShape(), slice_.devices())
    cut, whole = PartitionSpec(fsdp_axes(mesh)), PartitionSpec()
    gather = Gather.over(mesh, {"kernel": cut}, jnp.bfloat16)

    @partial(over_devices, mesh=mesh, in_specs=(cut, whole), out_specs=cut)
    def gradient(kernel: jax.Array, reached: jax.Array) -> jax.Array:
        _, transpose = jax.vjp(lambda leaf: gather({"kernel": leaf})["kernel"], kernel)
        return transpose(reached * 2)[0]  # of a product: what the program is given is no gradient

    def placed(spec: PartitionSpec) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=NamedSharding(mesh, spec))

    compiled = jax.jit(gradient).lower(placed(cut), placed(whole)).compile()
    sent = count_program(compiled.as_text()).collectives
    assert {one.kind for one in sent} == {"reduce-scatter"}
    received = 2 * shape[0] * shape[1] * (1 - 1 / slice_.chips)
    assert sum(one.total for one in sent) == received
