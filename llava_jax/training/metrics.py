"""A run's figures: JSON lines and TensorBoard in its folder, a progress bar on screen."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tensorboardX import SummaryWriter

from llava_jax.errors import UserError
from llava_jax.processes import is_first
from llava_jax.run_folder import RunFolder, on_disk, reaching, write_whole

_WINDOW = 120.0  # seconds that the estimate of the remaining time looks back


def _console() -> Console:
    """Of several processes only the first is heard."""
    return Console(stderr=True, quiet=not is_first())


def say(text: str) -> None:
    """A line for whoever watches the run."""
    _console().print(text, highlight=False, soft_wrap=True)


class MetricsLog:
    """metrics.jsonl and TensorBoard files of one stage.

    Opened at the step a run resumes from: what an interrupted run wrote beyond it is dropped,
    since those steps come again. Objects in a bucket cannot be appended to: those of a remote
    folder are written on disk, and copied there by `publish` and at the end.
    """

    def __init__(self, folder: RunFolder, first_step: int) -> None:
        self._folder, self._disk = folder, on_disk(folder)
        if self._disk != folder:  # what is there may be of an earlier run
            shutil.rmtree(self._disk, ignore_errors=True)
        self._disk.mkdir(parents=True, exist_ok=True)
        self._path = self._disk / "metrics.jsonl"
        kept = [line for line in self._lines() if self._step(line) < first_step]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(kept))
        partial.replace(self._path)
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(self._disk / "tensorboard"), purge_step=first_step)

    def _lines(self) -> list[str]:
        path = self._folder / "metrics.jsonl"
        with reaching(path):
            if not path.exists():
                return []
            lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True)
        # A line that a killed run did not finish has no newline.
        return [line for line in lines if line.endswith("\n")]

    def _step(self, line: str) -> int:
        try:
            return json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self._folder / 'metrics.jsonl'} has a damaged line, which begins with "
                f"{line[:20]!r}: remove that line and run the same command again"
            ) from None

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line a step; the values also go to TensorBoard under their names."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def publish(self) -> None:
        """Brings a remote folder up to date. Raises UserError if it cannot be written to."""
        if self._disk != self._folder:
            self._board.flush()
            self._upload()

    def _upload(self) -> None:
        for path in (self._path, *(self._disk / "tensorboard").iterdir()):
            write_whole(self._folder / path.relative_to(self._disk), path.read_bytes())

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._board.close()
        if self._disk != self._folder:
            self._upload()


class Goodput:
    """How much of the time since the stage began went into its steps.

    The rest is compiling, waiting for the first batch, saving and sampling.
    latest: seconds of the newest step.
    """

    def __init__(self) -> None:
        self._start, self._in_steps, self.latest = time.monotonic(), 0.0, 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Counts the time inside as a step's."""
        start = time.monotonic()
        yield
        self.latest = time.monotonic() - start
        self._in_steps += self.latest

    @property
    def share(self) -> float:
        return self._in_steps / (time.monotonic() - self._start)


class StageProgress:
    """A bar with an estimate of the time left; plain lines where the output is not a terminal."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._console = _console()
        self._title, self._total = title, total
        self._shown, self._shown_at = done, time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=_WINDOW,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, figures="")

    def advance(self, step: int) -> None:
        """Marks `step` steps as done."""
        self._bar.update(self._task, completed=step)

    def show(self, step: int, values: dict[str, Any]) -> None:
        """Shows the newest figures."""
        figures = f"loss {values['loss']:.3f}"
        self._bar.update(self._task, completed=step, figures=figures)
        if self._console.is_terminal:
            return
        now = time.monotonic()
        # The pace of the latest steps: the first ones hold compilation.
        left = (now - self._shown_at) / max(step - self._shown, 1) * (self._total - step)
        self._shown, self._shown_at = step, now
        self._console.print(
            f"{self._title} {step}/{self._total}  {figures}  "
            f"{values['tokens_per_second']:,.0f} tokens/s  {left / 60:.1f} min left",
            highlight=False,
            soft_wrap=True,
        )

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def __enter__(self) -> "StageProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
