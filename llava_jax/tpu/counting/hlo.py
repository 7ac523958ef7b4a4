"""The optimised program of a compiler, read from its text: computations and their instructions."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_BITS = {"pred": 8, "token": 0, "c64": 64, "c128": 128, "bf16": 16}
_ARRAY = re.compile(r"([a-z][a-z0-9]*)\[([0-9,<=]*)\](\{[^{}]*\})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%(\S+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%(\S+) = ")
_OPERAND = re.compile(r"%([^\s,(){}]+)")
_ELSEWHERE = re.compile(r"S\([1-9]\)")  # memory space 0 is HBM; 1 VMEM, 5 the host's memory


@dataclass(frozen=True)
class Shape:
    """One array of a result; a tuple has several."""

    dtype: str
    dims: tuple[int, ...]
    layout: str = ""

    @property
    def elements(self) -> int:
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Of its elements, without the padding of tiles."""
        bits = _BITS.get(self.dtype) or int(re.sub(r"\D.*", "", self.dtype[1:].lstrip("e")) or 0)
        return self.elements * bits // 8

    @property
    def in_hbm(self) -> bool:
        """Whether it lies in HBM, rather than in a memory on the chip."""
        return not _ELSEWHERE.search(self.layout)

    @property
    def on_host(self) -> bool:
        return "S(5)" in self.layout


@dataclass(frozen=True)
class Instruction:
    """One line: `name = result opcode(operands), attributes`."""

    name: str
    result: str
    opcode: str
    inside: str  # what stands between the opcode's parentheses
    attributes: str

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Arrays of the result, those of nested tuples in their order."""
        return tuple(
            Shape(dtype, tuple(int(d.lstrip("<=")) for d in dims.split(",") if d), layout)
            for dtype, dims, layout in _ARRAY.findall(self.result)
        )

    @property
    def shape(self) -> Shape:
        return self.shapes[0]

    @cached_property
    def operands(self) -> tuple[str, ...]:
        return tuple(_OPERAND.findall(self.inside))

    def attribute(self, name: str) -> str:
        """The text after `name=`, up to the comma or in its braces; empty where there is none."""
        start = re.search(rf"(?:^|[\s,]){name}=", self.attributes)
        if not start:
            return ""
        rest = self.attributes[start.end() :]
        if rest[:1] in "{(":
            return rest[1 : _closing(rest, 0)]
        return rest.split(",", 1)[0].strip()

    def called(self, name: str) -> str:
        """The computation that an attribute names, without its %."""
        return self.attribute(name).lstrip("%")


@dataclass(frozen=True)
class Computation:
    """Instructions in their order; `by_name` finds one."""

    name: str
    instructions: tuple[Instruction, ...]
    root: Instruction

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        return {instruction.name: instruction for instruction in self.instructions}

    @cached_property
    def parameters(self) -> dict[int, Instruction]:
        return {int(i.inside): i for i in self.instructions if i.opcode == "parameter"}

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Name -> the instructions that read it."""
        readers: dict[str, list[Instruction]] = {}
        for instruction in self.instructions:
            for name in dict.fromkeys(instruction.operands):
                readers.setdefault(name, []).append(instruction)
        return readers

    def operands(self, instruction: Instruction) -> tuple[Instruction, ...]:
        return tuple(self.by_name[name] for name in instruction.operands)


@dataclass(frozen=True)
class Module:
    """A whole program."""

    computations: dict[str, Computation]
    entry: Computation
    header: str

    @cached_property
    def callers(self) -> dict[str, tuple[Computation, Instruction]]:
        """Computation -> where it is called from as a fusion or an asynchronous part."""
        return {
            instruction.called("calls"): (computation, instruction)
            for computation in self.computations.values()
            for instruction in computation.instructions
            if "calls=" in instruction.attributes
        }

    @cached_property
    def aliased(self) -> int:
        """Output buffers that are donated inputs."""
        start = self.header.find("input_output_alias={")
        if start < 0:
            return 0
        braces = start + len("input_output_alias=")
        return self.header[braces : _closing(self.header, braces)].count("alias)")


def parse(text: str) -> Module:
    """Reads what `compiled.as_text()` gives.

    Raises:
      ValueError: the text holds no entry computation.
    """
    computations, entry, lines = {}, None, iter(text.splitlines())
    header = next(lines, "")
    for line in lines:
        start = _COMPUTATION.match(line)
        if start:
            computations[start[2]] = _computation(start[2], lines)
            entry = start[2] if start[1] else entry
    if entry is None:
        raise ValueError("no program: the text has no ENTRY computation")
    return Module(computations, computations[entry], header)


def _computation(name: str, lines: Iterator[str]) -> Computation:
    parts: list[list[str]] = []
    for line in lines:
        if line == "}":
            break
        if _INSTRUCTION.match(line):
            parts.append([line])
        else:
            parts[-1].append(line)  # a kernel's metadata may span lines
    instructions, root = [], None
    for part in parts:
        start = _INSTRUCTION.match(part[0])
        assert start
        instruction = _instruction(start[2], "".join(part)[start.end() :])
        instructions.append(instruction)
        root = instruction if start[1] else root
    return Computation(name, tuple(instructions), root or instructions[-1])


def _instruction(name: str, rest: str) -> Instruction:
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    opening = rest.index("(", end)
    closing = _closing(rest, opening)
    opcode = rest[end:opening].strip()
    return Instruction(name, rest[:end], opcode, rest[opening + 1 : closing], rest[closing + 1 :])


def _closing(text: str, opening: int) -> int:
    """Where the bracket that opens at `opening` closes."""
    left = text[opening]
    right = {"(": ")", "{": "}", "[": "]"}[left]
    depth = 0
    for match in re.compile(rf"[{re.escape(left + right)}]").finditer(text, opening):
        depth += 1 if match.group() == left else -1
        if not depth:
            return match.start()
    return len(text)
