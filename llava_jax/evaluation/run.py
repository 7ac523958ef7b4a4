"""Asks a model the probes, with and without sight, and sets its figures side by side."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from llava_jax.evaluation.probes import Figure, Probe
from llava_jax.evaluation.scoring import Verdict, score
from llava_jax.evaluation.statistics import Tally, difference_interval, interval, tally
from llava_jax.evaluation.views import blind as unseen
from llava_jax.images import load_image
from llava_jax.sheet import SheetItem, SheetLine

Answerer = Callable[[list[Image.Image], list[str]], list[str]]

# figure in the report -> (figure of the probes, what is summed, out of what)
FIGURES: dict[str, tuple[Figure, Callable[[Verdict], int], Callable[[Verdict], int]]] = {
    "presence": ("presence", lambda v: v.correct, lambda v: 1),
    "position": ("position", lambda v: v.correct, lambda v: 1),
    "kind": ("kind", lambda v: v.correct, lambda v: 1),
    "count": ("count", lambda v: v.correct, lambda v: 1),
    "reasoning": ("reasoning", lambda v: v.correct, lambda v: 1),
    "caption_precision": ("caption", lambda v: v.hits, lambda v: len(v.claimed)),
    "caption_recall": ("caption", lambda v: v.hits, lambda v: len(v.truth)),
}


@dataclass(frozen=True)
class ProbeRun:
    """One model's answers to the probes, in their order."""

    probes: tuple[Probe, ...]
    answers: tuple[str, ...]

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(map(score, self.probes, self.answers))

    @cached_property
    def tallies(self) -> dict[str, Tally]:
        """Each figure's sums by scene; figures that no probe asks about are absent."""
        tallies = {}
        for name, (asked, numerator, denominator) in FIGURES.items():
            chosen = [(p, v) for p, v in self._judged() if p.figure == asked]
            if chosen:
                tallies[name] = tally(
                    [probe.scene for probe, _ in chosen],
                    [numerator(verdict) for _, verdict in chosen],
                    [denominator(verdict) for _, verdict in chosen],
                )
        return tallies

    @cached_property
    def figures(self) -> dict[str, dict[str, float]]:
        """value, low, high (95% interval), n (questions) and unparsed (answers without any of the
        words looked for; they count as wrong), for each figure; shares are 0 to 1.
        """
        figures = {}
        for name, sums in self.tallies.items():
            verdicts = [v for p, v in self._judged() if p.figure == FIGURES[name][0]]
            unparsed = sum(not verdict.parsed for verdict in verdicts)
            figures[name] = asdict(interval(sums)) | {
                "n": len(verdicts),
                "unparsed": unparsed,
            }
        return figures

    def _judged(self) -> Iterator[tuple[Probe, Verdict]]:
        return zip(self.probes, self.verdicts, strict=True)


def evaluate_probes(
    answer: Answerer,
    probes: Sequence[Probe],
    images: Path,
    *,
    blind: bool = False,
    batch_size: int = 64,
    name: str = "model",
) -> ProbeRun:
    """Asks every probe about its image in the folder `images`; `blind` shows uniform grey instead.

    `answer` gets at most `batch_size` RGB images and as many questions, all of one figure, so that
    answers of like length share a batch.
    """
    order = sorted(range(len(probes)), key=lambda i: probes[i].figure)
    answers = [""] * len(probes)
    with Progress() as progress:
        task = progress.add_task(f"Asking the {name}", total=len(probes))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            shown = [_load(images / probes[i].image, blind) for i in batch]
            said = answer(shown, [probes[i].question for i in batch])
            for i, text in zip(batch, said, strict=True):
                answers[i] = text
            progress.advance(task, len(batch))
    return ProbeRun(tuple(probes), tuple(answers))


def _load(path: Path, blind: bool) -> Image.Image:
    image = load_image(path)
    return unseen(image) if blind else image


def sheet_items(run: ProbeRun, images: Path, count: int, questions: int = 4) -> list[SheetItem]:
    """The first `count` scenes of the run, each with a seeded choice of what was asked about it."""
    scenes: dict[str, list[int]] = {}
    for number, probe in enumerate(run.probes):
        scenes.setdefault(probe.image, []).append(number)
    items = []
    for name in list(scenes)[:count]:
        asked = scenes[name]
        lines = tuple(
            SheetLine(
                run.probes[i].question,
                run.answers[i].strip(),
                ", ".join(run.probes[i].truth),
                run.verdicts[i].correct,
            )
            for i in sorted(random.Random(name).sample(asked, min(questions, len(asked))))
        )
        with Image.open(images / name) as image:
            items.append(SheetItem(image.convert("RGB"), lines))
    return items


def compare(model: ProbeRun, blind: ProbeRun, untrained: ProbeRun) -> dict[str, dict[str, Any]]:
    """The report's figures: the model's value and interval, the value of the same model without
    sight and of the untrained one, and the paired difference to the blind model with its interval.
    """
    if not model.probes == blind.probes == untrained.probes:
        raise ValueError("the three runs answer different probes")
    report: dict[str, dict[str, Any]] = {}
    for name, figure in model.figures.items():
        report[name] = figure | {
            "blind": blind.tallies[name].value,
            "untrained": untrained.tallies[name].value,
            "above_blind": asdict(difference_interval(model.tallies[name], blind.tallies[name])),
        }
    return report


# "above blind" is the 95% interval of the paired difference; "unread" answers count as wrong
COLUMNS = ("figure", "value", "95%", "blind", "above blind", "untrained", "n", "unread")


def _rows(report: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, f in report.items():
        gain = f["above_blind"]
        yield (
            name.replace("_", " "),
            f"{100 * f['value']:.1f}",
            f"{100 * f['low']:.1f}..{100 * f['high']:.1f}",
            f"{100 * f['blind']:.1f}",
            f"{100 * gain['low']:+.1f}..{100 * gain['high']:+.1f}",
            f"{100 * f['untrained']:.1f}",
            str(f["n"]),
            str(f["unparsed"]),
        )


def print_report(report: dict[str, dict[str, Any]], console: Console) -> None:
    """The figures as a table in the terminal, in percent."""
    table = Table(title="Held-out scenes, in percent", box=box.SIMPLE_HEAD, padding=0)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in _rows(report):
        table.add_row(*row)
    console.print(table)


def markdown_report(report: dict[str, dict[str, Any]]) -> str:
    """The figures as a Markdown table, in percent."""
    lines = [COLUMNS, (":--", *["--:"] * (len(COLUMNS) - 1)), *_rows(report)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
