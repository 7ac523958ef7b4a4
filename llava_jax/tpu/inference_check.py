"""The flight check of inference: prefill and decode compiled for a TPU that is not there."""

from dataclasses import dataclass

import jax

from llava_jax.config import MeshShape, Recipe
from llava_jax.errors import UserError
from llava_jax.inference.program import (
    InferenceProgram,
    cache_formats,
    decode_program,
    prefill_program,
)
from llava_jax.mesh import describe, make_mesh
from llava_jax.tpu.flight_check import compile_and_count
from llava_jax.tpu.report import Report, Setting
from llava_jax.tpu.topology import Topology
from llava_jax.tpu.workload import inference_workload

KINDS = ("prefill", "decode")


@dataclass(frozen=True)
class InferenceCheck:
    """What to compile: `rows` prompts of `context` tokens, or a token more in each of them.

    int8: weights in 8 bits.
    """

    recipe: Recipe
    kind: str
    topology: Topology
    rows: int
    context: int
    int8: bool = False

    def __post_init__(self) -> None:
        if self.topology.slices > 1:
            raise UserError(f"{self.kind} runs on one slice, and {self.topology.name} is several")


def run_inference_check(check: InferenceCheck) -> tuple[Report, str]:
    """Compiles and counts, all chips sharing each product. Returns report and program.

    Raises:
      UserError: the chips do not divide the model's heads, or libtpu is missing.
    """
    shape = MeshShape(tensor=check.topology.chips)
    mesh = make_mesh(shape, check.topology.devices())
    setting = Setting(
        recipe=check.recipe.name + (" in 8 bits" if check.int8 else ""),
        stage=check.kind,
        topology=check.topology.name,
        chips=check.topology.chips,
        mesh=shape,
        axes=describe(mesh),
        remat="none",
        batch=check.rows,
        accumulate=1,
        length=check.context,
        images=1,
        samples_per_row=1.0,
    )
    if check.kind == "prefill":
        program = prefill_program(check.recipe, mesh, check.rows, check.context, int8=check.int8)
    else:
        program = _decode(check, mesh)
    workload = inference_workload(check.recipe, check.kind, check.rows, check.context)
    return compile_and_count(program, setting, check.topology, workload)


def _decode(check: InferenceCheck, mesh: jax.sharding.Mesh) -> InferenceProgram:
    """The step whose cache comes in and goes out as the compiler likes it best to come in."""
    shape = (check.recipe, mesh, check.rows, check.context)
    free = decode_program(*shape, int8=check.int8)
    try:
        formats = cache_formats(free.compile())
    except jax.errors.JaxRuntimeError:
        return free  # it does not fit: the check compiles it again, and says by how much
    return decode_program(*shape, formats, int8=check.int8)
