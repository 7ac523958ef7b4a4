"""The counter on programs whose truth is known, compiled for a v5e of four chips."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from llava_jax.tpu.counting.program import Program, count_program
from llava_jax.tpu.topology import parse_topology

CHIPS, LAYERS, ROWS, WIDTH = 4, 6, 512, 1024


@pytest.fixture(scope="module")
def mesh(tpu_compiler: None) -> Mesh:
    return make_mesh("v5e-4")


def make_mesh(name: str) -> Mesh:
    devices = np.array(parse_topology(name).devices())
    return Mesh(devices, ("x",), axis_types=(AxisType.Auto,))


def compiled(mesh: Mesh, function: Callable[..., Any], *arguments: Any) -> str:
    """The optimised program of `function` on arguments given as (shape, dtype, partition)."""
    abstract = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*parts)))
        for shape, dtype, parts in arguments
    ]
    return jax.jit(function).lower(*abstract).compile().as_text()


def kinds(program: Program) -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for c in program.collectives:
        count, total = found.get(c.kind, (0, 0.0))
        found[c.kind] = (count + c.runs, total + c.total)
    return found


def test_products_in_nested_loops_are_multiplied_out(mesh: Mesh):
    def outer(x, weights):
        def inner(x, w):
            return jnp.tanh(x @ w), None

        return lax.fori_loop(0, 3, lambda _, y: lax.scan(inner, y, weights)[0], x)

    program = count_program(
        compiled(
            mesh,
            outer,
            ((ROWS, WIDTH), jnp.bfloat16, ("x",)),
            ((LAYERS, WIDTH, WIDTH), jnp.bfloat16, ()),
        )
    )
    assert program.matrix_flops == 3 * LAYERS * 2 * (ROWS // CHIPS) * WIDTH * WIDTH
    assert program.unknown_loops == ()
    assert program.collectives == ()


def test_products_with_heads_count_only_real_elements(mesh: Mesh):
    """Heads become spatial dimensions of a padded convolution: the padding is no work."""

    def attention(x, q, k):
        queries = jnp.einsum("bsd,dhe->bhse", x, q)
        keys = jnp.einsum("bsd,dhe->bhse", x, k)
        return jnp.einsum("bhse,bhte->bhst", queries, keys)

    heads, size, length = 8, 64, 256
    program = count_program(
        compiled(
            mesh,
            attention,
            ((CHIPS, length, WIDTH), jnp.bfloat16, ("x",)),
            ((WIDTH, heads, size), jnp.bfloat16, ()),
            ((WIDTH, heads, size), jnp.bfloat16, ()),
        )
    )
    projections = 2 * 2 * length * WIDTH * heads * size
    assert program.matrix_flops == projections + 2 * heads * length * length * size


def test_a_loop_that_depends_on_data_is_named(mesh: Mesh):
    def until(x, w):
        return lax.while_loop(lambda y: jnp.sum(y) < 100, lambda y: y @ w, x)

    program = count_program(
        compiled(mesh, until, ((8, 128), jnp.float32, ()), ((128, 128), jnp.float32, ()))
    )
    assert len(program.unknown_loops) == 1


def test_collectives_of_a_loop(mesh: Mesh):
    """Gather, reduce-scatter and all-reduce in a scan, bytes by hand."""

    def step(x, shards):
        def layer(x, shard):
            w = lax.all_gather(shard, "x", axis=0, tiled=True)
            y = jnp.dot(x, w, preferred_element_type=jnp.float32)
            product = jnp.dot(x.T, y.astype(x.dtype), preferred_element_type=jnp.float32)
            gradient = lax.psum_scatter(product, "x", scatter_dimension=0, tiled=True)
            return jnp.tanh(y).astype(x.dtype), (gradient, lax.psum(jnp.sum(y, axis=0), "x"))

        return lax.scan(layer, x, shards)

    def sharded(x, shards):
        spec = PartitionSpec
        return jax.shard_map(
            step,
            mesh=mesh,
            in_specs=(spec("x"), spec(None, "x")),
            out_specs=(spec("x"), (spec(None, "x"), spec())),
        )(x, shards)

    program = count_program(
        compiled(
            mesh,
            sharded,
            ((ROWS, WIDTH), jnp.bfloat16, ("x",)),
            ((LAYERS, WIDTH, WIDTH), jnp.bfloat16, (None, "x")),
        )
    )
    matrix = WIDTH * WIDTH * (CHIPS - 1) // CHIPS  # elements, all but a chip's own part
    row = 2 * 4 * WIDTH * (CHIPS - 1) // CHIPS
    assert kinds(program) == {
        "all-gather": (LAYERS, LAYERS * 2 * matrix),
        "reduce-scatter": (LAYERS, LAYERS * 4 * matrix),
        "all-reduce": (LAYERS, LAYERS * row),
    }
    assert {c.group for c in program.collectives} == {CHIPS}
    assert program.matrix_flops == LAYERS * 2 * 2 * (ROWS // CHIPS) * WIDTH * WIDTH


def test_exchanges(mesh: Mesh):
    def exchange(x):
        turned = lax.all_to_all(x, "x", split_axis=1, concat_axis=0, tiled=True)
        return lax.ppermute(turned * 2, "x", [(i, (i + 1) % CHIPS) for i in range(CHIPS)])

    def sharded(x):
        spec = PartitionSpec("x")
        return jax.shard_map(exchange, mesh=mesh, in_specs=spec, out_specs=spec)(x)

    program = count_program(compiled(mesh, sharded, ((ROWS, WIDTH), jnp.float32, ("x",))))
    part = 4 * ROWS * WIDTH // CHIPS
    assert kinds(program)["all-to-all"] == (1, part * (CHIPS - 1) / CHIPS)
    assert kinds(program)["collective-permute"] == (1, part)


def test_traffic_is_what_must_move(mesh: Mesh):
    """Two arrays read and one written; a loop over slices reads each layer once."""
    large = ((8192, 8192), jnp.float32, ("x",))
    program = count_program(compiled(mesh, lambda a, b: a * 2 + b, large, large))
    part = 4 * 8192 * 8192 // CHIPS
    assert program.hbm_bytes == 3 * part

    def layers(x, weights):
        return lax.scan(lambda y, w: (jnp.tanh(y @ w), None), x, weights)[0]

    weights = ((16, 4096, 4096), jnp.bfloat16, ())
    program = count_program(compiled(mesh, layers, ((CHIPS, 4096), jnp.bfloat16, ()), weights))
    read = 2 * 16 * 4096 * 4096
    assert read <= program.hbm_bytes < 1.02 * read


@pytest.mark.parametrize(
    ("groups", "chips"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[2,4]<=[4,2]T(1,0)", 4),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", 4),
        ("mesh['axis_0'=2,'axis_1'=8], device_ids=([8,2]T(1,0)) {'axis_0'}", 2),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_0','axis_1':(1)2}", 4),
        ("{}", 8),
    ],
)
def test_every_way_to_write_replica_groups(groups: str, chips: int):
    text = f"""HloModule jit_step, is_scheduled=true, num_partitions=8

ENTRY %main (x: f32[16]) -> f32[16] {{
  %x = f32[16]{{0}} parameter(0)
  ROOT %sum = f32[16]{{0}} all-reduce(%x), channel_id=1, replica_groups={groups}, to_apply=%add
}}
"""
    (found,) = count_program(text).collectives
    assert (found.group, found.bytes) == (chips, 2 * 64 * (chips - 1) / chips)


def test_what_crosses_slices_is_known(tpu_compiler: None):
    devices = parse_topology("2xv5e-4").devices()
    ordered = sorted(devices, key=lambda device: device.slice_index)
    mesh = Mesh(np.array(ordered).reshape(2, 4), ("slice", "x"))

    def sums(x):
        return lax.psum(lax.psum_scatter(x, "x", scatter_dimension=0, tiled=True), "slice")

    def sharded(x):
        spec = PartitionSpec
        return jax.shard_map(
            sums, mesh=mesh, in_specs=spec(), out_specs=spec("x"), check_vma=False
        )(x)

    program = count_program(compiled(mesh, sharded, ((ROWS, WIDTH), jnp.float32, ())))
    shard = 4 * ROWS * WIDTH // 4
    found = {c.kind: (c.across_slices, c.group, c.total) for c in program.collectives}
    assert found == {"reduce-scatter": (False, 4, 3 * shard), "all-reduce": (True, 2, shard)}
