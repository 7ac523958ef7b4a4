"""What a person sees while prompts are asked."""

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.limiter import Limiter


@dataclass
class Tally:
    """Counts of a run. total: of prompts, None if nobody knows; asked: those not in the store."""

    total: int | None
    done: int = 0
    asked: int = 0
    set_aside: int = 0
    usd: float = 0.0  # of those asked
    start: float = field(default_factory=time.monotonic)

    def note(self, answer: Answer) -> None:
        self.done += 1
        self.asked += not answer.kept
        self.set_aside += bool(answer.problem)
        self.usd += 0.0 if answer.kept else answer.usd

    def line(self, spent: float, running: int, now: float) -> str:
        """One line; what is left is taken to go as what was asked. spent: usd; now: monotonic."""
        parts = [f"{self.set_aside} set aside"] if self.set_aside else []
        rate = self.asked / max(now - self.start, 1e-9)
        parts.append(f"{rate:.1f}/s, {running} at once")
        left = self.total - self.done if self.total is not None and self.asked else None
        if spent:
            coming = f" of about ${spent + left * self.usd / self.asked:.2f}" if left else ""
            parts.append(f"${spent:.2f}{coming}")
        if left:
            minutes, seconds = divmod(round(left / rate), 60)
            parts.append(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left")
        return " · ".join(parts)


class AskingProgress:
    """A bar on stderr with rate, requests at once, cost and time left. A context manager."""

    def __init__(self, model: str, total: int | None, budget: Budget, limiter: Limiter):
        self.tally = Tally(total)
        self._budget, self._limiter = budget, limiter
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[line]}"))  # fmt: skip
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(f"Asking {model}", total=total, line="")

    def __enter__(self) -> "AskingProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, answer: Answer) -> None:
        """One more prompt has its answer."""
        self.tally.note(answer)
        spent, running = self._budget.spent, self._limiter.running
        line = self.tally.line(spent, running, time.monotonic())
        self._bar.update(self._task, completed=self.tally.done, line=line)

    def draining(self) -> None:
        """The user wants to stop."""
        text = "Finishing what was sent (Ctrl-C again: stop at once)"
        self._bar.update(self._task, description=text)
