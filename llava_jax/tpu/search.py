"""Which mesh, remat policy and micro-batch fit a topology, found by compiling, and the fastest.

A compile takes a minute or so: their number is bounded, and what cannot fit is not asked.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.console import Console

from llava_jax.errors import UserError
from llava_jax.models.sizes import llava_config
from llava_jax.tpu.flight_check import Check, run_check
from llava_jax.tpu.presentation import does_not_fit, what
from llava_jax.tpu.report import Report, Trial
from llava_jax.tpu.topology import larger

Found = tuple[Report, str]  # a report, and the program's text

# Each keeps more than the one before it.
_REMATS = ("full", "context", "attention", "inputs", "minimal")
_MESHES = 2  # sizes of the tensor axis that are tried, the smallest that divide the rows
_MOST = 18  # compiles of a search
_NEAREST = 6  # compiles that look for something that fits


def check_or_nearest(check: Check, console: Console) -> Found:
    """The check; where it does not fit, what is nearest to it and does.

    Raises:
      UserError: nothing near fits; it says by how much.
    """
    _check_rows(check)
    compiler = _Compiler(console, 1 + _NEAREST)
    found = compiler.run(check)
    if found[0].fits:
        return found
    refusal = does_not_fit(found[0])
    console.print(f"[red]{refusal}[/]; looking for the nearest that does")
    for other in _nearest(check):
        if compiler.exhausted:
            break
        found = compiler.run(other)
        if found[0].fits:
            setting = found[0].setting
            console.print(f"the nearest that fits: {setting.topology}, {what(setting)}")
            return found
    raise UserError(f"{refusal}, and nothing near it fits: take a larger topology")


def search(check: Check, console: Console) -> Found:
    """The fastest that fits the topology: for each mesh and remat policy the largest micro-batch.

    An optimizer step keeps the recipe's rows; a micro-batch is what is computed at once. At last
    the batch is doubled as long as it fits, to know the largest. `tried` of the report has all.

    Raises:
      UserError: nothing fits.
    """
    compiler = _Compiler(console, _MOST)
    fitting: list[Found] = []
    for tensor in _tensor_sizes(check):
        accumulate = 1
        for remat in _REMATS:
            variant = _changed(check, tensor=tensor, remat=remat)
            found = compiler.first_that_fits(_micro_batches(variant, accumulate))
            if found is None:
                break  # what follows keeps more
            accumulate = found[0].setting.accumulate
            fitting.append(found)
    if not fitting:
        raise UserError(
            f"nothing of {check.recipe.name} {check.stage} that was tried fits "
            f"{check.topology.name}: take a larger topology"
        )
    report, program = max(fitting, key=_pace)
    largest = compiler.largest_batch(_as_check(check, report))
    bound = "at least " if compiler.exhausted else ""
    console.print(f"the fastest that fits: {what(report.setting)}")
    console.print(f"the largest batch that fits at once on this mesh: {bound}{largest} rows")
    return replace(report, tried=tuple(compiler.trials)), program


class _Compiler:
    """Compiles checks one after the other, says how far it is, and keeps what came out."""

    def __init__(self, console: Console, most: int):
        self.trials: list[Trial] = []
        self._console, self._most, self._start = console, most, time.monotonic()

    @property
    def exhausted(self) -> bool:
        return len(self.trials) >= self._most

    def run(self, check: Check) -> Found:
        done = len(self.trials)
        left = (time.monotonic() - self._start) / max(done, 1) * (self._most - done) / 60
        eta = f", at most {left:.0f} min left" if done else ""
        setting = check.setting()
        with self._console.status(f"program {done + 1}{eta}: {setting.topology}, {what(setting)}"):
            report, text = run_check(check)
        self.trials.append(report.as_trial())
        self._console.print(f"  {_outcome(report)}: {setting.topology}, {what(setting)}")
        return report, text

    def first_that_fits(self, checks: Iterator[Check]) -> Found | None:
        for check in checks:
            if self.exhausted:
                return None
            found = self.run(check)
            if found[0].fits:
                return found
        return None

    def largest_batch(self, check: Check) -> int:
        """Rows that fit at once, doubled from those of the check's micro-batch."""
        stage = check.recipe.stage[check.stage]
        rows = stage.rows // stage.accumulate
        while not self.exhausted:
            if not self.run(_changed(check, rows=2 * rows, accumulate=1))[0].fits:
                break
            rows *= 2
        return rows


def _outcome(report: Report) -> str:
    if report.speed is None:
        return f"does not fit, {report.memory.over:.2f} GiB missing"
    return f"fits, {report.memory.peak:.2f} GiB, modelled MFU {report.speed.mfu:.1%}"


def _pace(found: Found) -> float:
    assert found[0].speed
    return found[0].speed.tokens_per_second_per_chip


def _changed(
    check: Check,
    *,
    tensor: int | None = None,
    remat: Any = None,
    rows: int | None = None,
    accumulate: int | None = None,
) -> Check:
    """The check with some of what decides about memory set anew."""
    recipe, stage = check.recipe, check.recipe.stage[check.stage]
    stage = replace(stage, rows=rows or stage.rows, accumulate=accumulate or stage.accumulate)
    mesh = recipe.mesh
    if tensor is not None:
        mesh = replace(mesh, tensor=tensor, fsdp=0)
    changed = replace(
        recipe, mesh=mesh, remat=remat or recipe.remat, stage={**recipe.stage, check.stage: stage}
    )
    return replace(check, recipe=changed)


def _as_check(check: Check, report: Report) -> Check:
    setting = report.setting
    return _changed(
        check, tensor=setting.mesh.tensor, remat=setting.remat, accumulate=setting.accumulate
    )


def _tensor_sizes(check: Check) -> list[int]:
    """Sizes of the tensor axis that leave every device whole rows, and divide the heads."""
    rows, language = check.recipe.stage[check.stage].rows, llava_config(check.recipe.model).language
    sizes = [2**i for i in range(5)]
    fitting = [
        size
        for size in sizes
        if check.topology.chips % size == 0
        and rows % (check.topology.chips // size) == 0
        and language.kv_heads % size == 0
    ]
    if not fitting:
        raise UserError(
            f"{rows} rows cannot be shared by the {check.topology.chips} chips of "
            f"{check.topology.name}: set config.stage.{check.stage}.rows to a multiple of them"
        )
    return fitting[:_MESHES]


def _check_rows(check: Check) -> None:
    """Raises UserError where chips would get no whole rows, with the mesh that mends it."""
    stage, mesh = check.recipe.stage[check.stage], check.recipe.mesh
    if check.topology.chips % mesh.tensor:
        return  # which the mesh itself will say
    shares = check.topology.chips // mesh.tensor
    if stage.rows % shares and stage.rows < shares:
        raise UserError(
            f"{stage.rows} rows are too few for {check.topology.chips} chips of "
            f"{check.topology.name}: --config.mesh.tensor={_tensor_sizes(check)[0]} lets chips "
            f"share rows, or take --config.stage.{check.stage}.rows={shares}"
        )


def _micro_batches(check: Check, first: int) -> Iterator[Check]:
    """The check in `first` micro-batches, then twice as many, until each chip has one row."""
    rows = check.recipe.stage[check.stage].rows
    shares = check.topology.chips // check.recipe.mesh.tensor
    accumulate = first
    while rows % (shares * accumulate) == 0:
        yield _changed(check, accumulate=accumulate)
        accumulate *= 2


def _nearest(check: Check) -> Iterator[Check]:
    """What changes least first: more micro-batches, then full remat besides, then more chips."""
    stage = check.recipe.stage[check.stage]
    yield from _micro_batches(check, 2 * stage.accumulate)
    if check.recipe.remat != "full":
        yield from _micro_batches(_changed(check, remat="full"), stage.accumulate)
    for topology in larger(check.topology):
        other = _changed(replace(check, topology=topology), remat="full")
        tensor = _tensor_sizes(other)[0]
        yield from _micro_batches(_changed(other, tensor=tensor), 1)
