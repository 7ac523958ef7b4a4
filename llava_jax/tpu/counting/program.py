"""What one step of a compiled program does on one chip, counted from the program's own text.

The compiler's own counter (`cost_analysis`) sees the body of a loop once and nothing of a Pallas
kernel; here loops are multiplied out and kernels counted by their shapes.
"""

from dataclasses import dataclass

from llava_jax.tpu.counting.collectives import Collective, find_collectives
from llava_jax.tpu.counting.hlo import parse
from llava_jax.tpu.counting.kernels import kernel_flops, kernel_name
from llava_jax.tpu.counting.loops import count_runs
from llava_jax.tpu.counting.matrix import product_flops
from llava_jax.tpu.counting.memory_traffic import hbm_bytes, host_bytes


@dataclass(frozen=True)
class Product:
    """One matrix product of the program."""

    elements: int  # of its result
    depth: int  # elements that are summed for each of them
    runs: int  # in one step


@dataclass(frozen=True)
class Program:
    """Work of one step on one chip."""

    products: tuple[Product, ...]  # convolutions and dots
    kernel_flops: float  # attention kernels
    hbm_bytes: float  # a lower bound
    host_bytes: float  # between HBM and the host's memory
    collectives: tuple[Collective, ...]
    aliased: int  # buffers that are updated in place, donated to the step
    unknown_loops: tuple[str, ...]  # counted once: their trips depend on data
    unknown_kernels: tuple[str, ...]  # not counted at all

    @property
    def matrix_flops(self) -> float:
        return float(sum(2 * p.elements * p.depth * p.runs for p in self.products))

    @property
    def flops(self) -> float:
        return self.matrix_flops + self.kernel_flops


def count_program(text: str) -> Program:
    """Counts an optimised program, given as `compiled.as_text()`."""
    module = parse(text)
    runs = count_runs(module)
    products, kernels, unknown = [], 0, set()
    for name, times in runs.times.items():
        computation = module.computations[name]
        for instruction in computation.instructions:
            flops = product_flops(computation, instruction)
            if flops:
                elements = instruction.shape.elements
                products.append(Product(elements, flops // (2 * elements), times))
            kernel = kernel_flops(computation, instruction)
            if kernel is None:
                unknown.add(kernel_name(instruction))
            kernels += times * (kernel or 0)
    return Program(
        products=tuple(products),
        kernel_flops=float(kernels),
        hbm_bytes=hbm_bytes(module, runs),
        host_bytes=host_bytes(module, runs),
        collectives=find_collectives(module, runs),
        aliased=module.aliased,
        unknown_loops=runs.unknown_loops,
        unknown_kernels=tuple(sorted(unknown)),
    )
