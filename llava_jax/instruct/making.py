"""The runs of launch/instruct.py, each from a source of scenes to files and a summary."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from llava_jax.errors import UserError
from llava_jax.instruct.dataset import (
    DataSet,
    Output,
    judged,
    without_duplicates,
    without_overlap,
    write_checks,
    write_set,
)
from llava_jax.instruct.importers.sources import read_scenes
from llava_jax.instruct.pipeline import wanted, write_json
from llava_jax.instruct.recorded import read_records, recorded_responses
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.sets.concepts import choose, draw_balance
from llava_jax.instruct.sets.fingerprints import Fingerprint, fingerprints
from llava_jax.instruct.sets.noun_phrases import READERS
from llava_jax.instruct.sets.overlap import EvaluationSet, read_evaluation
from llava_jax.instruct.teacher.api import ApiTeacher
from llava_jax.instruct.teacher.rules import RuleTeacher
from llava_jax.instruct.turns import RESPONSES, Request
from llava_jax.problems import Problems
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.estimate import estimate
from llava_jax.remote.prompt import Sampling
from llava_jax.remote.store import AnswerStore


@dataclass(frozen=True)
class Choices:
    """What is made of which scenes. files: of the source, by its names for them (`sources`).

    limit: scenes, from the first; 0: all. shares: see `pipeline.wanted`; empty: everything of all.
    against: evaluation sets to keep off, FILE or FILE:FOLDER with its images.
    """

    source: str
    files: Mapping[str, Path]
    out: Path
    limit: int
    shares: Mapping[str, float]
    seed: int
    held_out: float
    against: tuple[str, ...]
    shown: int
    tfds: bool

    @property
    def images(self) -> Path | None:
        return self.files.get("images")

    @property
    def output(self) -> Output:
        name = f"Instructions from {self.source}"
        return Output(self.out, name, self.held_out, self.seed, self.shown, self.images)


@dataclass(frozen=True)
class Asking:
    """A model that is asked. max_usd: of all that this folder's answers ever cost.

    symbols: estimated tokens that a scene's text may take.
    """

    endpoint: Endpoint
    sampling: Sampling
    max_usd: float
    at_once: int
    faithful: bool
    symbols: int


def apply_rules(choices: Choices, console: Console, *, dry_run: bool = False) -> str:
    """Rule-based responses; what was set aside, in words ("" for nothing)."""
    problems = Problems()
    requests = _requests(choices, problems)
    if dry_run:
        console.print(f"{len(requests):,} responses by rules, which cost nothing")
        return _words(problems)
    responses = track(RuleTeacher().respond(requests), "Writing", total=len(requests))
    return _finish(choices, judged(responses), problems, console)


def ask_model(choices: Choices, asking: Asking, console: Console, *, dry_run: bool) -> str:
    """A model's responses; what was set aside, in words ("" for nothing)."""
    problems = Problems()
    requests = _requests(choices, problems)
    with AnswerStore(choices.out / "answers.jsonl") as store:
        budget = Budget(asking.max_usd, spent=store.usd)
        teacher = ApiTeacher(
            asking.endpoint.model,
            lambda questions: ask(
                questions,
                asking.endpoint,
                store,
                budget,
                at_once=asking.at_once,
                total=len(requests),
            ),
            asking.faithful,
            asking.symbols,
            asking.sampling,
        )
        if dry_run:
            prompts = track(map(teacher.prompt, requests), "Counting", total=len(requests))
            _show_estimate(estimate(prompts, asking.endpoint, store), console)
            return _words(problems)
        answered = {response.request.id: response for response in teacher.respond(requests)}
    # In the order of the scenes, however the answers came.
    responses = [answered[request.id] for request in requests]
    return _finish(choices, judged(track(responses, "Checking")), problems, console)


def check_records(path: Path, choices: Choices, console: Console) -> str:
    """The checks alone, of records that exist; what was set aside, in words ("" for nothing)."""
    problems = Problems()
    responses = recorded_responses(path, _scenes(choices, problems), problems)
    data = judged(track(responses, "Checking"))
    _show(data, write_checks(data, choices.output, problems), console)
    return _words(problems)


def choose_captions(path: Path, out: Path, phrases: str, seed: int, console: Console) -> None:
    """Captions whose concepts are balanced (CC-595K's way): captions.json and concepts.png."""
    problems = Problems()
    records = read_records(path, problems)
    said = [record["conversations"][-1]["value"] for record in records]
    found = list(track(READERS[phrases](said), "Reading noun phrases", total=len(said)))
    choice = choose(found, seed)
    write_json(out / "captions.json", [records[place] for place in choice.kept])
    draw_balance(choice, len(records), out / "concepts.png")
    console.print(
        f"{len(choice.kept):,} of {len(records):,} captions, {len(choice.after):,} of "
        f"{len(choice.before):,} noun phrases (read by {phrases})\n{out / 'captions.json'}\n"
        f"{out / 'concepts.png'}"
    )


def _scenes(choices: Choices, problems: Problems) -> list[Scene]:
    scenes = read_scenes(choices.source, choices.files, problems)
    if not scenes:
        raise UserError(f"the source {choices.source} gives no scene: see that its files are whole")
    return scenes[: choices.limit or None]


def _requests(choices: Choices, problems: Problems) -> list[Request]:
    scenes = _scenes(choices, problems)
    every = {kind: 1.0 for scene in scenes for kind in RESPONSES[scene.modality]}
    return wanted(scenes, choices.shares or every, choices.seed)


def _finish(choices: Choices, data: DataSet, problems: Problems, console: Console) -> str:
    """Filters, files and summary."""
    evaluations = [_evaluation(place, problems) for place in choices.against]
    prints = _prints(data, choices.images, problems)
    data = without_duplicates(data, prints)
    for evaluation in evaluations:
        data = without_overlap(data, prints, evaluation)
    files = write_set(data, choices.output, problems)
    if choices.tfds:
        files.append(_as_tfds(choices))
    _show(data, files, console)
    for reason, count in data.report.problems.items():
        problems.note(f"response: {reason}", f"{count} of {data.report.asked}")
    if not data.kept:
        raise UserError(f"no response was kept: {choices.out / 'report.json'} says why of each")
    return _words(problems)


def _evaluation(place: str, problems: Problems) -> EvaluationSet:
    file, _, images = place.partition(":")
    return read_evaluation(Path(file), Path(images) if images else None, problems)


def _prints(data: DataSet, images: Path | None, problems: Problems) -> dict[str, Fingerprint]:
    if images is None:
        return {}
    names = {entry.provenance.image for entry in data.kept}
    return fingerprints(images, track(sorted(names), "Comparing images"), problems)


def _as_tfds(choices: Choices) -> Path:
    """The records with their images as a TFDS data set."""
    from llava_jax.data.bad_images import BadImages
    from llava_jax.data.tfds_builder import build

    if choices.images is None:
        raise UserError("--tfds packs the images too: give --images")
    folder = choices.out / "tfds"
    build(str(choices.out / "instructions.json"), str(choices.images), str(folder), BadImages())
    return folder


def _words(problems: Problems) -> str:
    return "; ".join(problems.lines())


def _show_estimate(counted, console: Console) -> None:
    console.print(
        f"{counted.prompts:,} prompts, {counted.kept:,} of them answered before; the other "
        f"{counted.requests:,}: about {counted.prompt_tokens:,} prompt tokens, at most "
        f"{counted.answer_tokens:,} answer tokens, at most ${counted.usd:.2f}"
    )


def _show(data: DataSet, files: Iterable[Path], console: Console) -> None:
    report = data.report
    table = Table("rule", "claims", "pass", "unknown", "warn", "fail")
    for rule, counts in report.verdicts.items():
        of_each = [f"{counts.get(verdict, 0):,}" for verdict in ("pass", "unknown", "warn", "fail")]
        table.add_row(rule, f"{sum(counts.values()):,}", *of_each)
    console.print(table)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.responses.items()) or "nothing"
    console.print(f"kept {report.samples:,} of {report.asked:,} responses: {kinds}")
    for name, reasons in (("dropped", report.dropped), ("without text", report.problems)):
        for reason, count in reasons.items():
            console.print(f"  {name}: {count:,} x {reason}")
    if report.usage.usd:
        console.print(f"cost: ${report.usage.usd:.2f}")
    for file in files:
        console.print(str(file), highlight=False)
