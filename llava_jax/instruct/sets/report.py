"""The figures of a set, counted from the provenance of its samples: report.json, and its card."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llava_jax.instruct.sets.provenance import Provenance
from llava_jax.instruct.turns import Usage


@dataclass(frozen=True)
class Step:
    """A filter that the set went through, with its settings in words; numbers of samples."""

    name: str
    settings: str
    before: int
    after: int


@dataclass(frozen=True)
class Overlaps:
    """What was found of one evaluation set (overlap.py): samples, and lines that say how."""

    evaluation: str
    samples: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Numbers of samples, unless said otherwise.

    responses: by kind, of what is in the set; the rest is of everything that was asked for.
    sources: number of scenes by (source, licence). verdicts: number of claims by rule and verdict.
    dropped, problems: by the class that stands before the colon.
    """

    asked: int
    responses: dict[str, int]
    modalities: dict[str, int]
    sources: dict[tuple[str, str], int]
    teachers: dict[str, int]
    verdicts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    problems: dict[str, int]
    usage: Usage
    steps: tuple[Step, ...] = ()
    overlaps: tuple[Overlaps, ...] = ()

    @property
    def samples(self) -> int:
        return sum(self.responses.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        sources = [
            {"source": source, "license": license, "scenes": scenes}
            for (source, license), scenes in self.sources.items()
        ]
        return {"samples": self.samples, **asdict(self), "sources": sources}


def report_of(
    rows: Sequence[Provenance], steps: Sequence[Step] = (), overlaps: Sequence[Overlaps] = ()
) -> Report:
    """Counts the rows; every order is that of the rows, so that equal sets give equal reports."""
    kept = [row for row in rows if row.kept]
    scenes = {(row.source, row.license, row.scene) for row in rows}
    verdicts: dict[str, Counter[str]] = {}
    for row in rows:
        for rule, counts in row.verdicts.items():
            verdicts.setdefault(rule, Counter()).update(counts)
    return Report(
        asked=len(rows),
        responses=dict(Counter(row.response for row in kept)),
        modalities=dict(Counter(row.modality for row in kept)),
        sources=dict(Counter((source, license) for source, license, _ in sorted(scenes))),
        teachers=dict(Counter(row.teacher for row in rows)),
        verdicts={rule: dict(counts) for rule, counts in verdicts.items()},
        dropped=dict(Counter(_class(row.dropped) for row in rows if row.dropped)),
        problems=dict(Counter(_class(row.problem) for row in rows if row.problem)),
        usage=Usage(
            sum(row.usage.prompt_tokens for row in rows),
            sum(row.usage.answer_tokens for row in rows),
            sum((row.usage.usd for row in rows), 0.0),
        ),
        steps=tuple(steps),
        overlaps=tuple(overlaps),
    )


def _class(reason: str) -> str:
    return reason.partition(":")[0]
