"""How often each computation of a program runs in one step: loops, counted from their text.

XLA writes no trip count into programs for a TPU. A loop's bound stands in its condition's compare,
its step in what the body adds to the counter, its start in the tuple that enters.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from llava_jax.tpu.counting.hlo import Computation, Instruction, Module

_SAME_VALUE = {"copy", "bitcast", "convert", "reshape", "copy-start", "copy-done", "broadcast"}


@dataclass(frozen=True)
class _Affine:
    """A number: the loop's value `index` of the tuple it carries, plus `offset`. -1: none."""

    index: int
    offset: int


@dataclass(frozen=True)
class Runs:
    """How often computations run in one step; loops whose trips could not be read run once."""

    times: dict[str, int]
    unknown_loops: tuple[str, ...]


def count_runs(module: Module) -> Runs:
    """Walks from the entry through loops, fusions, calls and branches (each branch once)."""
    times: Counter[str] = Counter()
    unknown: list[str] = []

    def walk(computation: Computation, runs: int) -> None:
        times[computation.name] += runs
        for instruction in computation.instructions:
            inner = runs
            if instruction.opcode == "while":
                trips = trip_count(module, computation, instruction)
                if trips is None:
                    unknown.append(instruction.name)
                inner = runs * (1 if trips is None else trips)
            for name in _called(instruction):
                walk(module.computations[name], inner)

    walk(module.entry, 1)
    return Runs(dict(times), tuple(unknown))


def _called(instruction: Instruction) -> list[str]:
    if instruction.opcode == "while":
        return [instruction.called("body")]
    if instruction.opcode == "conditional":
        branches = instruction.attribute("branch_computations").split(",")
        names = [branch.strip().lstrip("%") for branch in branches]
        names += [instruction.called(f"{side}_computation") for side in ("true", "false")]
        return [name for name in names if name]
    name = instruction.called("to_apply" if instruction.opcode == "call" else "calls")
    return [name] if name else []


def trip_count(module: Module, outer: Computation, loop: Instruction) -> int | None:
    """How often a loop's body runs, or None where that depends on data.

    outer: the computation that holds the loop.
    """
    compared = _compared(_loop_scope(module, loop.called("condition")))
    if compared is None:
        return None
    direction, counter, bound = compared
    if counter.index < 0:
        counter, bound = bound, counter
        direction = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE"}.get(direction, direction)
    start = _entering(module, outer, loop, counter)
    end = _entering(module, outer, loop, bound)
    body = _loop_scope(module, loop.called("body"))
    moved = _trace(body, body.computation.root, counter.index)
    if start is None or end is None or moved is None:
        return None
    if moved.index != counter.index or not moved.offset:
        return None
    distance = end - start + {"LE": 1, "GE": -1}.get(direction, 0)
    return max(0, -(-distance // moved.offset))


@dataclass(frozen=True)
class _Scope:
    """A computation with what its parameters are: `argument(number, element)`, lazily."""

    module: Module
    computation: Computation
    argument: Callable[[int, int | None], _Affine | None]


def _loop_scope(module: Module, name: str) -> _Scope:
    """A condition or a body, whose one parameter is the tuple that the loop carries."""

    def carried(_: int, element: int | None) -> _Affine | None:
        return None if element is None else _Affine(element, 0)

    return _Scope(module, module.computations[name], carried)


def _entering(module: Module, outer: Computation, loop: Instruction, value: _Affine) -> int | None:
    """The number that the value is when the loop starts, where it is written in the program."""
    if value.index < 0:
        return value.offset
    scope = _Scope(module, outer, lambda number, element: None)
    first = _trace(scope, outer.operands(loop)[0], value.index)
    return None if first is None else first.offset + value.offset


def _compared(scope: _Scope) -> tuple[str, _Affine, _Affine] | None:
    """Direction and both sides of what a condition compares, also where a fusion does."""
    root = scope.computation.root
    while root.opcode in ("fusion", "copy", "bitcast"):
        if root.opcode == "fusion":
            scope = _inside(scope, root)
            root = scope.computation.root
        else:
            root = scope.computation.operands(root)[0]
    if root.opcode != "compare":
        return None
    left, right = (_trace(scope, operand) for operand in scope.computation.operands(root))
    if left is None or right is None:
        return None
    return root.attribute("direction"), left, right


def _inside(scope: _Scope, fusion: Instruction) -> _Scope:
    operands = scope.computation.operands(fusion)
    return _Scope(
        scope.module,
        scope.module.computations[fusion.called("calls")],
        lambda number, element: _trace(scope, operands[number], element),
    )


def _trace(scope: _Scope, instruction: Instruction, element: int | None = None) -> _Affine | None:
    """What a value, or an element of a tuple, is in terms of the loop's tuple.

    None: something else than a number of it or a constant, and sums of these.
    """
    operands = scope.computation.operands(instruction)
    match instruction.opcode:
        case "constant":
            number = instruction.inside.strip()
            return _Affine(-1, int(number)) if number.lstrip("-").isdigit() else None
        case "parameter":
            return scope.argument(int(instruction.inside), element)
        case "get-tuple-element":
            return _trace(scope, operands[0], int(instruction.attribute("index")))
        case "tuple" if element is not None:
            return _trace(scope, operands[element])
        case "fusion":
            inner = _inside(scope, instruction)
            return _trace(inner, inner.computation.root, element)
        case "add" | "subtract":
            left, right = (_trace(scope, operand) for operand in operands)
            return _sum(left, right, 1 if instruction.opcode == "add" else -1)
        case opcode if opcode in _SAME_VALUE:
            return _trace(scope, operands[0], element)
    return None


def _sum(left: _Affine | None, right: _Affine | None, sign: int) -> _Affine | None:
    if left is None or right is None or (right.index >= 0 and (left.index >= 0 or sign < 0)):
        return None
    return _Affine(max(left.index, right.index), left.offset + sign * right.offset)
