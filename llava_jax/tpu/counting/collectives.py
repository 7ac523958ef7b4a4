"""What a compiled program sends between chips: each collective once, with its bytes and overlap.

The bytes are those that a chip receives over its links in one step, with the ring algorithm: a
gather receives all of the result but its own part, a reduce-scatter all parts of its own shard
but its own, an all-reduce does both, a permute the whole operand. Loops are multiplied out.

An asynchronous collective appears several times, in the fusions that start it, carry it on and
end it, under one chain id. A reduce-scatter may stand as an all-reduce and a slice inside a fusion
of the all-reduce-scatter emitter: the emitter tells. What crosses slices stands as a send to the
Megascale runtime, which moves and adds it over the data center's network.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from llava_jax.tpu.counting.hlo import Computation, Instruction, Module, Shape
from llava_jax.tpu.counting.loops import Runs

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "all-to-all", "collective-permute")
OPCODES = {kind + end: kind for kind in KINDS for end in ("", "-start")}
OPCODES["ragged-all-to-all"] = "all-to-all"
_MEGASCALE = re.compile(r'_xla_megascale_target="\{([^}]*)\}.*_xla_megascale_transfer_type="(\w+)"')
_COMPUTES = {"fusion", "while", "convolution", "custom-call", "call", "conditional"}
_CHAIN = re.compile(r'chain_id="(\d+)"')
_ASYNC_CALLS = ("AsyncCollectiveStart", "AsyncCollectiveDone")


@dataclass(frozen=True)
class Collective:
    """One collective of the program."""

    name: str
    kind: str
    runs: int  # in one step
    bytes: float  # that a chip receives in one run
    group: int  # chips that take part together
    overlapped: bool  # runs while the chip computes
    across_slices: bool  # goes over the data center's network

    @property
    def total(self) -> float:
        """Bytes in one step."""
        return self.runs * self.bytes


def find_collectives(module: Module, runs: Runs) -> tuple[Collective, ...]:
    """All collectives of the program, each once."""
    found: dict[object, Collective] = {}
    for computation in module.computations.values():
        times = runs.times.get(computation.name, 0)
        for instruction in computation.instructions if times else ():
            chain = _CHAIN.search(instruction.attributes)
            key = int(chain[1]) if chain else (computation.name, instruction.name)
            if key in found:
                continue
            if instruction.opcode in OPCODES:
                found[key] = _collective(module, computation, instruction, times)
            elif instruction.opcode == "send" and _MEGASCALE.search(instruction.attributes):
                found[key] = _across_slices(computation, instruction, times)
    return tuple(found.values())


def _collective(
    module: Module, computation: Computation, instruction: Instruction, runs: int
) -> Collective:
    kind = OPCODES[instruction.opcode]
    if kind == "all-reduce" and _scatters(module, computation):
        kind = "reduce-scatter"
    size = 2 if kind == "collective-permute" else _group_size(module, instruction)
    inputs = [shape for o in computation.operands(instruction) for shape in o.shapes]
    return Collective(
        name=instruction.name,
        kind=kind,
        runs=runs,
        bytes=_received(kind, inputs, size),
        group=size,
        overlapped=_overlapped(module, computation, instruction),
        across_slices=False,
    )


def _across_slices(computation: Computation, send: Instruction, runs: int) -> Collective:
    found = _MEGASCALE.search(send.attributes)
    assert found
    name = found[2].lower().replace("_", "-")
    kind = name if name in KINDS else "collective-permute"
    size = len(found[1].split(","))
    inputs = computation.operands(send)[0].shapes
    return Collective(
        name=send.name,
        kind=kind,
        runs=runs,
        bytes=_received(kind, inputs, size),
        group=size,
        # It lasts so long that only a loop over layers hides it, not the next few operations.
        overlapped=_computes_meanwhile(computation, send, {"while"}),
        across_slices=True,
    )


def _computes_meanwhile(
    computation: Computation, start: Instruction, computes: Collection[str] = _COMPUTES
) -> bool:
    """Whether the schedule has the chip compute before it waits for what was started."""
    names = [instruction.name for instruction in computation.instructions]
    for instruction in computation.instructions[names.index(start.name) + 1 :]:
        if instruction.opcode in computes:
            return True
        if start.name in instruction.operands or instruction.opcode == "recv-done":
            return False
    return False


def _received(kind: str, inputs: Sequence[Shape], group: int) -> float:
    size = sum(shape.bytes for shape in inputs)
    match kind:
        case "all-gather":
            return float(size * (group - 1))
        case "all-reduce":
            return 2 * size * (group - 1) / group
        case "collective-permute":
            return float(size)
    return size * (group - 1) / group


def _scatters(module: Module, computation: Computation) -> bool:
    """Whether an all-reduce inside this computation is the half of a reduce-scatter."""
    _, caller = module.callers.get(computation.name, (None, None))
    emitter = caller is not None and "AllReduceScatterFusion" in caller.attributes
    return emitter or computation.name.startswith("all-reduce-scatter")


def _overlapped(module: Module, computation: Computation, instruction: Instruction) -> bool:
    if _CHAIN.search(instruction.attributes):
        return True
    if instruction.opcode.endswith("-start"):
        return _computes_meanwhile(computation, instruction)
    caller = module.callers.get(computation.name)
    if caller is None:
        return False
    if caller[1].opcode == "async-start":
        return True
    return any(call in i.attributes for i in computation.instructions for call in _ASYNC_CALLS)


def _group_size(module: Module, instruction: Instruction) -> int:
    """How many chips take part together.

    Groups are written {{0,1},{2,3}}, [2,2]<=[4] (groups, then chips of each), as axes of a mesh,
    mesh['a'=2,'b'=2] {'b'} (an axis may be cut: 'b':(1)2; device_ids may stand between them, the
    order of the chips), or {} for all chips.
    Raises:
      ValueError: written otherwise.
    """
    text = instruction.attributes
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", text)
    if listed:
        return len(listed[1].split(","))
    iota = re.search(r"replica_groups=\[\d+,(\d+)\]<=", text)
    if iota:
        return int(iota[1])
    mesh = re.search(r"replica_groups=@?mesh\w*\[([^\]]*)\][^{]*\{([^}]*)\}", text)
    if mesh:
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", mesh[2])
        return math.prod(int(part) if part else sizes[name] for name, part in axes)
    if "replica_groups={}" in text:
        found = re.search(r"num_partitions=(\d+)", module.header)
        return int(found[1]) if found else 1
    raise ValueError(f"replica groups of an unknown form: {text[:200]}")


@dataclass(frozen=True)
class Traffic:
    """All collectives of one kind, in one step, on one chip."""

    count: int  # executed, loops multiplied out
    gib: float  # received over the links
    async_fraction: float  # share of the bytes that moves while the chip computes


def by_kind(collectives: Sequence[Collective]) -> dict[str, Traffic]:
    """The kinds that occur, in the order of KINDS."""
    groups: dict[str, list[Collective]] = defaultdict(list)
    for collective in collectives:
        groups[collective.kind].append(collective)
    return {kind: _traffic(groups[kind]) for kind in KINDS if kind in groups}


def _traffic(collectives: Sequence[Collective]) -> Traffic:
    total = math.fsum(c.total for c in collectives)
    overlapped = math.fsum(c.total for c in collectives if c.overlapped)
    return Traffic(
        count=sum(c.runs for c in collectives),
        gib=total / 2**30,
        async_fraction=overlapped / total if total else 0.0,
    )
