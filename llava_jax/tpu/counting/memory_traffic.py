"""Bytes that a compiled program moves between HBM and the chip: an estimate from its text.

Every buffer of HBM that an instruction reads or writes counts once a run: whole, or the slice of
it where only a slice is touched. What a kernel reads again and again counts once, and tiles'
padding not at all, so this is a lower bound of the true traffic.
"""

from dataclasses import dataclass

from llava_jax.tpu.counting.collectives import OPCODES as COLLECTIVES
from llava_jax.tpu.counting.hlo import Computation, Instruction, Module, Shape
from llava_jax.tpu.counting.kernels import TARGET
from llava_jax.tpu.counting.loops import Runs

# No data moves: names for what is there, or control of what is counted elsewhere.
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "after-all",
    "partition-id",
    "replica-id",
    "iota",
    "opt-barrier",
    "async-update",
    "async-start",
}
_SLICES = {"slice", "dynamic-slice", "gather"}
_IN_PLACE = "output_to_operand_aliasing={{}: (0, {})}"  # of a fusion: the operand, tiled otherwise


def host_bytes(module: Module, runs: Runs) -> float:
    """Moved between HBM and the host's memory in one step, as offloading does."""
    total = 0.0
    for name, times in runs.times.items():
        computation = module.computations[name]
        for instruction in computation.instructions:
            transfer = _transfer(computation, instruction)
            if transfer and transfer.source.on_host != transfer.target.on_host:
                total += times * transfer.bytes
    return total


def hbm_bytes(module: Module, runs: Runs) -> float:
    """Read and written in one step, loops multiplied out."""
    total = 0.0
    for name, times in runs.times.items():
        if name in module.callers:
            continue  # the inside of a fusion: its parameters and results are counted
        computation = module.computations[name]
        moved = sum(_moved(module, computation, i) for i in computation.instructions)
        total += times * moved
    return total


def _moved(module: Module, computation: Computation, instruction: Instruction) -> int:
    opcode, operands = instruction.opcode, computation.operands(instruction)
    if opcode in _FREE or opcode.endswith("-done"):
        return 0
    if opcode == "custom-call" and TARGET not in instruction.attributes:
        return 0
    if opcode == "fusion":
        inner = module.computations[instruction.called("calls")]
        read = sum(
            _read(module, inner, inner.parameters[number], operand.shapes)
            for number, operand in enumerate(operands)
            if number in inner.parameters
        )
        return read + _written(inner, instruction.shapes)
    transfer = _transfer(computation, instruction)
    if transfer:
        return transfer.bytes * (int(transfer.source.in_hbm) + int(transfer.target.in_hbm))
    read = sum(_in_hbm(operand.shapes) for operand in operands)
    if opcode in COLLECTIVES and opcode.endswith("-start"):
        return read * 2  # their tuples hold the operand too
    return read + _in_hbm(instruction.shapes)


@dataclass(frozen=True)
class _Transfer:
    """Data that goes from one place to another as it is."""

    bytes: int
    source: Shape
    target: Shape


def _transfer(computation: Computation, instruction: Instruction) -> _Transfer | None:
    """A copy or a slice, read or written, at once or started; None: something else."""
    operands = computation.operands(instruction)
    match instruction.opcode.removesuffix("-start"):
        case "copy":  # a start's tuple begins with the target
            target = instruction.shape
            return _Transfer(target.bytes, operands[0].shape, target)
        case "slice" | "dynamic-slice" | "gather":  # and here ends with it, and a number
            target = [shape for shape in instruction.shapes if shape.dims][-1]
            return _Transfer(target.bytes, operands[0].shape, target)
        case "dynamic-update-slice":
            update = operands[1].shape
            return _Transfer(update.bytes, update, operands[0].shape)
        case "scatter":
            update = operands[-1].shape
            return _Transfer(update.bytes, update, operands[0].shape)
    return None


def _in_hbm(shapes: tuple[Shape, ...]) -> int:
    return sum(shape.bytes for shape in shapes if shape.in_hbm)


def _read(
    module: Module, inner: Computation, parameter: Instruction, shapes: tuple[Shape, ...]
) -> int:
    """Bytes of an operand that a fusion reads: the slices, where it only takes slices."""
    whole = _in_hbm(shapes)
    if not whole:
        return 0
    return min(whole, _touched(module, inner, parameter, whole))


def _touched(module: Module, inner: Computation, value: Instruction, whole: int) -> int:
    touched = 0
    for user in inner.users.get(value.name, ()):
        first = user.operands[0] == value.name
        if user.opcode in _SLICES and first:
            touched += user.shape.bytes
        elif user.opcode == "bitcast" or _IN_PLACE in user.attributes:
            touched += _touched(module, inner, user, whole)
        elif user.opcode == "fusion":
            nested = module.computations[user.called("calls")]
            for number, name in enumerate(user.operands):
                if name == value.name:
                    touched += _touched(module, nested, nested.parameters[number], whole)
        elif not _passes_on(user, first):
            return whole
    return touched


def _passes_on(user: Instruction, first: bool) -> bool:
    """Whether a use moves nothing: what is updated in place, and an asynchronous collective's."""
    in_place = user.opcode in ("dynamic-update-slice", "scatter") and first
    return in_place or user.opcode in ("tuple", "custom-call")


def _written(inner: Computation, shapes: tuple[Shape, ...]) -> int:
    """Bytes that a fusion writes: the update, where it updates in place."""
    results = inner.operands(inner.root) if inner.root.opcode == "tuple" else (inner.root,)
    if len(results) != len(shapes):
        return 0  # an asynchronous collective's start, whose buffers its own line counts
    written = 0
    for result, shape in zip(results, shapes, strict=True):
        while result.opcode == "bitcast":
            result = inner.operands(result)[0]
        if result.opcode in ("parameter", "custom-call") or result.opcode in COLLECTIVES:
            continue  # passed on
        if result.opcode == "dynamic-update-slice":
            update = inner.operands(result)[1]
            written += update.shape.bytes * int(shape.in_hbm)
        else:
            written += shape.bytes * int(shape.in_hbm)
    return written
