"""A teacher's responses become a data set: judged, without doubles, kept off evaluations, split.

What is left out stays on record with the reason: provenance.jsonl has a line for every response.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llava_jax.instruct.grounding.check import check
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.pipeline import Record, record_of, write_json
from llava_jax.instruct.preview import PreviewItem, write_preview
from llava_jax.instruct.render.symbols import render
from llava_jax.instruct.sets.card import card
from llava_jax.instruct.sets.duplicates import find_duplicates
from llava_jax.instruct.sets.fingerprints import Fingerprint
from llava_jax.instruct.sets.overlap import EvaluationSet, find_overlap, overlap_lines
from llava_jax.instruct.sets.provenance import Provenance, provenance_of, write_provenance
from llava_jax.instruct.sets.report import Overlaps, Report, Step, report_of
from llava_jax.instruct.sets.sample import Sample, sample_of
from llava_jax.instruct.sets.split import split
from llava_jax.instruct.turns import Response
from llava_jax.problems import Problems
from llava_jax.run_folder import write_whole


@dataclass(frozen=True)
class Entry:
    """A response, what the checks found in it, and its line of provenance."""

    response: Response
    findings: tuple[Finding, ...]
    provenance: Provenance

    @property
    def record(self) -> Record:
        request = self.response.request
        return record_of(request.scene, request.response, self.response.turns)


@dataclass(frozen=True)
class DataSet:
    """Every response that was asked for, with what became of it."""

    entries: tuple[Entry, ...]
    steps: tuple[Step, ...] = ()
    overlaps: tuple[Overlaps, ...] = ()

    @property
    def kept(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.provenance.kept]

    @property
    def report(self) -> Report:
        rows = [entry.provenance for entry in self.entries]
        return report_of(rows, self.steps, self.overlaps)

    def without(self, dropped: Mapping[int, str], name: str, settings: str) -> "DataSet":
        """The set after a filter; dropped: reasons, by place among those kept so far."""
        kept = [place for place, entry in enumerate(self.entries) if entry.provenance.kept]
        entries = list(self.entries)
        for number, reason in dropped.items():
            entry = entries[kept[number]]
            marked = replace(entry.provenance, dropped=f"{name}: {reason}")
            entries[kept[number]] = replace(entry, provenance=marked)
        step = Step(name, settings, len(kept), len(kept) - len(dropped))
        return replace(self, entries=tuple(entries), steps=(*self.steps, step))


def judged(responses: Iterable[Response]) -> DataSet:
    """The responses checked against their scenes; a claim that fails drops its response."""
    entries = []
    for response in responses:
        findings = check(response.request.scene, response.turns) if response.turns else []
        provenance = provenance_of(response, findings)
        entries.append(Entry(response, tuple(findings), provenance))
    answered = sum(bool(entry.response.turns) for entry in entries)
    data = DataSet(tuple(entries))
    step = Step("grounding", "a failed claim drops its response", answered, len(data.kept))
    return replace(data, steps=(step,))


def without_duplicates(data: DataSet, prints: Mapping[str, Fingerprint]) -> DataSet:
    """One of several samples that say the same of the same picture. prints: of the images."""
    samples = _samples(data)
    found = find_duplicates(samples, prints)
    reasons = {duplicate.dropped: duplicate.line(samples) for duplicate in found}
    return data.without(reasons, "duplicates", "exact, and nearly the same words and picture")


def without_overlap(
    data: DataSet, prints: Mapping[str, Fingerprint], evaluation: EvaluationSet
) -> DataSet:
    """Samples that give nothing away of an evaluation set."""
    samples = _samples(data)
    found = find_overlap(samples, prints, evaluation)
    reasons = {overlap.place: f"{overlap.way}: {overlap.evidence}" for overlap in reversed(found)}
    data = data.without(reasons, "overlap", evaluation.name)
    lines = tuple(overlap_lines(found, samples))
    return replace(data, overlaps=(*data.overlaps, Overlaps(evaluation.name, len(reasons), lines)))


def _samples(data: DataSet) -> list[Sample]:
    return [sample_of(entry.record) for entry in data.kept]


@dataclass(frozen=True)
class Output:
    """Where and how a set is written.

    held_out: share of the images whose samples go to held_out.json. shown: samples in preview.html;
    0: no such page. images: the folder of the scenes' images; None shows symbols alone.
    """

    folder: Path
    name: str
    held_out: float = 0.0
    seed: int = 0
    shown: int = 50
    images: Path | None = None


def write_set(data: DataSet, output: Output, problems: Problems) -> list[Path]:
    """The records, their provenance, report, card and preview; each whole or not at all."""
    kept, folder = data.kept, output.folder
    train, held_out = split(kept, _image_of, output.held_out, output.seed)
    files = [folder / "instructions.json"]
    write_json(files[0], [entry.record for entry in train])
    if output.held_out:
        files.append(folder / "held_out.json")
        write_json(files[1], [entry.record for entry in held_out])
    write_whole(folder / "README.md", card(data.report, output.name).encode())
    return [*files, folder / "README.md", *write_checks(data, output, problems)]


def write_checks(data: DataSet, output: Output, problems: Problems) -> list[Path]:
    """What the checks found, without the records: provenance, report and preview."""
    files = [output.folder / name for name in ("provenance.jsonl", "report.json")]
    write_provenance(files[0], [entry.provenance for entry in data.entries])
    report = data.report.to_dict() | {"rejected": _rejected(data), "set_aside": problems.counts}
    write_json(files[1], report)
    if output.shown:
        files.append(output.folder / "preview.html")
        write_preview(files[-1], _shown(data, output.shown), output.images)
    return files


def _rejected(data: DataSet) -> list[dict[str, str]]:
    rows = [entry.provenance for entry in data.entries]
    return [{"id": row.id, "reason": row.problem or row.dropped} for row in rows if not row.kept]


def _shown(data: DataSet, count: int) -> list[PreviewItem]:
    """Half of them rejected ones, if there are so many, in the set's order."""
    rejected = [n for n, entry in enumerate(data.entries) if not entry.provenance.kept]
    kept = [n for n, entry in enumerate(data.entries) if entry.provenance.kept]
    fewest = max(count // 2, count - len(kept))
    chosen = sorted((rejected[:fewest] + kept)[:count])
    return [_preview(data.entries[n]) for n in chosen]


def _preview(entry: Entry) -> PreviewItem:
    response, row = entry.response, entry.provenance
    symbols = render(response.request.scene).text
    problem = row.problem or row.dropped
    return PreviewItem(response.request.scene, symbols, response.turns, entry.findings, problem)


def _image_of(entry: Entry) -> str:
    scene = entry.response.request.scene
    return scene.image or scene.id
