"""Floating point operations of matrix products: convolutions and dots of a compiled program.

A TPU's compiler writes nearly every product as a convolution, heads and batches as spatial
dimensions with padding and dilation; only positions that meet a real input element are work.
"""

import math
import re
from dataclasses import dataclass

from llava_jax.tpu.counting.hlo import Computation, Instruction, Shape


def product_flops(computation: Computation, instruction: Instruction) -> int:
    """2 for each multiplication and addition of one run; 0 for what is no product."""
    if instruction.opcode == "convolution":
        left, right = (operand.shape for operand in computation.operands(instruction))
        return 2 * _convolution(instruction, left, right)
    if instruction.opcode == "dot":
        left = computation.operands(instruction)[0].shape
        contracted = instruction.attribute("lhs_contracting_dims")
        depth = math.prod(left.dims[int(d)] for d in contracted.split(",") if d)
        return 2 * instruction.shape.elements * depth
    return 0


@dataclass(frozen=True)
class _Window:
    """One spatial dimension of a convolution's window."""

    size: int = 1
    stride: int = 1
    low: int = 0  # padding before the first element
    lhs_dilate: int = 1
    rhs_dilate: int = 1

    def meetings(self, inputs: int, outputs: int) -> int:
        """Pairs of output position and window element that meet a real input element."""
        count = 0
        for element in range(self.size):
            offset = element * self.rhs_dilate - self.low
            for output in range(outputs):
                at = output * self.stride + offset
                count += at % self.lhs_dilate == 0 and 0 <= at // self.lhs_dilate < inputs
        return count


def _convolution(instruction: Instruction, left: Shape, right: Shape) -> int:
    lhs, rhs, out = re.split("_|->", instruction.attribute("dim_labels"))
    batch, features = left.dims[lhs.index("b")], left.dims[lhs.index("f")]
    work = batch * features * right.dims[rhs.index("o")]
    for groups in ("feature_group_count", "batch_group_count"):
        work //= int(instruction.attribute(groups) or 1)
    for axis, window in enumerate(_windows(instruction, sum(label.isdigit() for label in lhs))):
        inputs = left.dims[lhs.index(str(axis))]
        work *= window.meetings(inputs, instruction.shape.dims[out.index(str(axis))])
    return work


def _windows(instruction: Instruction, axes: int) -> list[_Window]:
    fields = dict(field.split("=") for field in instruction.attribute("window").split())
    parts = {name: value.split("x") for name, value in fields.items()}

    def number(name: str, axis: int, default: int) -> int:
        return int(parts[name][axis].split("_")[0]) if name in parts else default

    return [
        _Window(
            size=number("size", axis, 1),
            stride=number("stride", axis, 1),
            low=number("pad", axis, 0),
            lhs_dilate=number("lhs_dilate", axis, 1),
            rhs_dilate=number("rhs_dilate", axis, 1),
        )
        for axis in range(axes)
    ]
