"""The flight check: a stage's real training step, compiled for a TPU that is not there.

One check is a recipe, a stage and a topology. The step is lowered from shapes alone, so no weight
is read or made; the TPU's compiler says whether it fits, and its program is counted and timed by
a roofline (counting/, roofline.py).
"""

import math
import re
import time
from dataclasses import dataclass, replace
from typing import Any

import jax

from llava_jax.config import MeshShape, Recipe
from llava_jax.errors import UserError
from llava_jax.mesh import describe, make_mesh
from llava_jax.tpu.counting.collectives import by_kind
from llava_jax.tpu.counting.program import Program, count_program
from llava_jax.tpu.report import Memory, Report, Setting, Speed, StepSeconds, Work
from llava_jax.tpu.roofline import step_time
from llava_jax.tpu.topology import Topology
from llava_jax.tpu.workload import Workload, stage_workload
from llava_jax.training.program import recipe_program

_GIB = 2**30
_REPEATED = 1.5  # products over the model's: rematerialising everything costs 1.3
_GATHERED = 4.0  # bytes gathered over those of all weights in bf16, a micro-batch: two is right
_NEEDED = re.compile(r"(?:temporaries \(|[Uu]sed )([\d.]+)([KMGT])\)?.*?([\d.]+)([KMGT])")
_UNITS = {"K": 2**-20, "M": 2**-10, "G": 1.0, "T": 2**10}  # in GiB


@dataclass(frozen=True)
class Check:
    """What to compile."""

    recipe: Recipe
    stage: str
    topology: Topology
    samples_per_row: float = 1.0

    def __post_init__(self) -> None:
        if self.stage not in self.recipe.stage:
            known = ", ".join(sorted(self.recipe.stage))
            raise UserError(f"the recipe has no stage {self.stage!r}: choose one of {known}")
        if self.recipe.mesh.slices not in (1, self.topology.slices):
            raise UserError(
                f"config.mesh.slices={self.recipe.mesh.slices}, but {self.topology.name} has "
                f"{self.topology.slices}: the topology says how many, leave the key out"
            )

    def setting(self) -> Setting:
        """The check as the report says it, its mesh built."""
        stage, mesh = self.recipe.stage[self.stage], self.mesh()
        return Setting(
            recipe=self.recipe.name,
            stage=self.stage,
            topology=self.topology.name,
            chips=self.topology.chips,
            mesh=self.mesh_shape(),
            axes=describe(mesh),
            remat=self.recipe.remat,
            batch=stage.rows,
            accumulate=stage.accumulate,
            length=stage.length,
            images=stage.images,
            samples_per_row=self.samples_per_row,
        )

    def mesh(self) -> jax.sharding.Mesh:
        """The topology's devices, arranged as the recipe says; its slices are the topology's."""
        return make_mesh(self.mesh_shape(), self.topology.devices())

    def mesh_shape(self) -> MeshShape:
        """As the recipe says, but for the slices."""
        return replace(self.recipe.mesh, slices=self.topology.slices)


def run_check(check: Check) -> tuple[Report, str]:
    """Compiles and counts. Returns the report and the optimised program's text, "" if none fits.

    Raises:
      UserError: the recipe does not go with the mesh, or libtpu is missing.
    """
    setting = check.setting()
    step = recipe_program(check.recipe, check.stage, check.mesh())
    workload = stage_workload(check.recipe, check.recipe.stage[check.stage], check.samples_per_row)
    return compile_and_count(step, setting, check.topology, workload)


def compile_and_count(
    step: Any, setting: Setting, topology: Topology, workload: Workload
) -> tuple[Report, str]:
    """The rest of `run_check`, for any program that can `compile()`."""
    start = time.monotonic()
    try:
        compiled = step.compile()
    except jax.errors.JaxRuntimeError as error:
        memory = overflow(str(error), topology.chip.hbm / _GIB)
        if memory is None:
            raise
        seconds = time.monotonic() - start
        return Report(setting, topology.chip, memory, None, None, seconds), ""
    seconds, text = time.monotonic() - start, compiled.as_text()
    program = count_program(text)
    report = Report(
        setting=setting,
        chip=topology.chip,
        memory=_memory(compiled, topology),
        work=_work(program, workload, setting),
        speed=_speed(program, workload, topology),
        compile_seconds=seconds,
        warnings=_warnings(program, workload, setting, topology),
    )
    return report, text


def overflow(message: str, usable: float) -> Memory | None:
    """What a compiler's failure says about HBM, in GiB; None: it failed over something else.

    Of some failures it names the temporaries alone, so what is missing is a lower bound.
    """
    if "RESOURCE_EXHAUSTED" not in message or not re.search("hbm", message, re.IGNORECASE):
        return None
    found = _NEEDED.search(message)
    if not found:
        return None
    needed, available = (float(found[i]) * _UNITS[found[i + 1]] for i in (1, 3))
    return Memory(usable, needed, 0.0, needed, over=needed - min(available, usable))


def _memory(compiled: Any, topology: Topology) -> Memory:
    found = compiled.memory_analysis()
    return Memory(
        usable=topology.chip.hbm / _GIB,
        peak=found.peak_memory_in_bytes / _GIB,
        arguments=found.argument_size_in_bytes / _GIB,
        temporaries=found.temp_size_in_bytes / _GIB,
    )


def _work(program: Program, workload: Workload, setting: Setting) -> Work:
    chips = setting.chips
    return Work(
        model_tflops=workload.decoder_flops / chips / 1e12,
        vision_tflops=workload.tower_flops / chips / 1e12,
        program_tflops=program.flops / 1e12,
        matrix_tflops=program.matrix_flops / 1e12,
        kernel_tflops=program.kernel_flops / 1e12,
        hbm_gib=program.hbm_bytes / _GIB,
        host_gib=program.host_bytes / _GIB,
        collectives=by_kind(program.collectives),
        across_slices_gib=sum(c.total for c in program.collectives if c.across_slices) / _GIB,
        aliased_buffers=program.aliased,
        layer_weight_gradients=_weight_gradients(program, workload, setting),
    )


def _weight_gradients(program: Program, workload: Workload, setting: Setting) -> int | None:
    """Products that sum over a chip's tokens and give what a layer's kernel has of elements."""
    tensor = setting.mesh.tensor
    tokens = workload.tokens * tensor // setting.chips // setting.accumulate
    widths = {side for shape in workload.layer_kernels for side in shape} | {workload.vocabulary}
    if tokens in widths | {width // tensor for width in widths}:
        return None
    kernels = {math.prod(shape) // tensor for shape in workload.layer_kernels}
    return sum(p.runs for p in program.products if p.depth == tokens and p.elements in kernels)


def _speed(program: Program, workload: Workload, topology: Topology) -> Speed:
    time = step_time(program, topology.chip)
    hours = None if workload.steps is None else workload.steps * time.total / 3600
    return Speed(
        step_seconds=StepSeconds(
            time.compute, time.hbm, time.host, time.ici, time.ici_exposed, time.total
        ),
        mfu=workload.decoder_flops / topology.chips / time.total / topology.chip.peak,
        tokens_per_second_per_chip=workload.tokens / topology.chips / time.total,
        images_per_second=workload.images / time.total,
        hours=hours,
        chip_hours=None if hours is None else hours * topology.chips,
        steps=workload.steps,
        limited_by=time.limited_by,
    )


def _warnings(
    program: Program, workload: Workload, setting: Setting, topology: Topology
) -> tuple[str, ...]:
    """What betrays a bad sharding, and what the counts leave out."""
    found = []
    model = (workload.decoder_flops + workload.tower_flops) / topology.chips
    if program.matrix_flops > _REPEATED * model:
        found.append(
            f"the program multiplies {program.matrix_flops / model:.1f} times what the model "
            "needs: a sharding makes chips repeat each other's work"
        )
    traffic = by_kind(program.collectives)
    gathered = traffic["all-gather"].gib * _GIB if "all-gather" in traffic else 0.0
    if gathered > _GATHERED * workload.weight_bytes * setting.accumulate:
        found.append(
            f"{gathered / 1e9:.0f} GB are gathered a step, "
            f"{gathered / workload.weight_bytes:.0f} times the weights: activations or weights "
            "travel that a better sharding leaves in place"
        )
    if program.unknown_loops:
        found.append(f"loops counted once: {', '.join(program.unknown_loops)}")
    if program.unknown_kernels:
        found.append(f"kernels not counted: {', '.join(program.unknown_kernels)}")
    return tuple(found)
