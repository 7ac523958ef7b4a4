"""The story of a run over benchmarks: load, answer, score, report."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from llava_jax.errors import SetAside, UserError
from llava_jax.evaluation.answer_log import read_log
from llava_jax.evaluation.answering import Way, answer_questions
from llava_jax.evaluation.benchmarks.benchmark import Benchmark, Mode, Question
from llava_jax.evaluation.benchmarks.table import JUDGED
from llava_jax.evaluation.page import page
from llava_jax.evaluation.results import Answered, Result, entry, score
from llava_jax.evaluation.tables import markdown
from llava_jax.evaluation.views import blind
from llava_jax.inference.engine import Engine
from llava_jax.problems import Problems
from llava_jax.processes import is_first
from llava_jax.report import read_report
from llava_jax.run_folder import write_whole
from llava_jax.weights.opening import load_model
from llava_jax.weights.workdir import load_recipe, newest_steps

_NAMED = 5  # of many questions that were set aside


@dataclass(frozen=True)
class Job:
    """What is evaluated, and where its reports go.

    data: each benchmark's files, in a folder of its name; of a single one, the folder itself may
    hold them. mode: the one that is reported. limit: of questions, from the first; 0: all.
    compare: another model's answer files, one a benchmark, or none.
    """

    benchmarks: Sequence[Benchmark]
    data: Path
    out: Path
    mode: Mode = "strict"
    limit: int = 0
    compare: Sequence[Path] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A model to be asked. with_blind: also about grey images, which doubles what is asked."""

    source: str
    template: str = ""
    max_new_tokens: int = 1024
    with_blind: bool = True

    @property
    def name(self) -> str:
        """The folder's name; of a training run with how far its stages have come."""
        path = Path(self.source).expanduser()
        if not (path / "recipe.json").exists():
            return path.name if path.exists() else self.source
        steps = newest_steps(path, load_recipe(path))
        return "-".join([path.resolve().name, *(f"{stage}{n}" for stage, n in steps.items())])

    @property
    def way(self) -> Way:
        return Way(self.name, max_new_tokens=self.max_new_tokens)

    def engine(self) -> Engine:
        model = load_model(self.source, self.template)
        return Engine(*model[:-1], as_trained=model.as_trained)


def evaluate_answers(job: Job, files: Sequence[Path], console: Console) -> list[Result]:
    """Scores stored answers, a file (or what else a benchmark takes) for each benchmark.

    Raises:
      UserError: files that are missing or not the benchmark's.
      SetAside: a benchmark whose answers could not be scored.
    """

    def answered(number: int, benchmark: Benchmark, questions: Sequence[Question]) -> Answered:
        problems = Problems()
        answers = benchmark.answers(files[number], questions, problems)
        return Answered(benchmark, questions, answers, problems)

    return _evaluate(job, answered, console)


def evaluate_model(job: Job, checkpoint: Checkpoint, console: Console) -> list[Result]:
    """Asks a model and scores what it says; goes on where an earlier run in the folder stopped.

    Leaves OUT/NAME/answers.jsonl and blind.jsonl, in LLaVA's format, for each benchmark. Of several
    processes each asks its share and the first one reports.

    Raises:
      UserError: files that are missing, or answers of another model in the folder.
      SetAside: questions that could not be asked, or answers that could not be scored here.
    """
    engine = cache(checkpoint.engine)

    def answered(number: int, benchmark: Benchmark, questions: Sequence[Question]) -> Answered:
        folder = job.out / benchmark.name
        path, way = folder / "answers.jsonl", checkpoint.way
        aside = answer_questions(engine, questions, path, way)
        answers = _texts(path)
        kept = [question for question in questions if question.id in answers]
        reasons = {q.id: aside.get(q.id, "") for q in questions if q.id not in answers}
        if not kept:
            raise UserError(
                f"none of the {len(questions)} questions of {benchmark.name} could be asked: "
                f"{next(iter(aside.values()), '')}"
            )
        unseen = None
        if checkpoint.with_blind:
            grey = replace(way, view=blind, seen="grey")
            pictured = [question for question in kept if question.images]
            answer_questions(engine, pictured, folder / "blind.jsonl", grey)
            unseen = answers | _texts(folder / "blind.jsonl")
        unscored = f"its answers are in {path}: have them judged (launch/judge.py)"
        return Answered(
            benchmark,
            kept,
            answers,
            Problems(),
            unseen,
            aside=reasons,
            unscored=unscored if benchmark.name in JUDGED else "",
        )

    return _evaluate(job, answered, console)


def _evaluate(
    job: Job,
    answer: Callable[[int, Benchmark, Sequence[Question]], Answered],
    console: Console,
) -> list[Result]:
    """Everything is loaded before the first question is asked; reports grow by benchmark."""
    loaded = [(b, b.load(_folder(job.data, b))[: job.limit or None]) for b in job.benchmarks]
    results: list[Result] = []
    entries: dict[str, dict[str, Any]] = {}
    for number, (benchmark, questions) in enumerate(loaded):
        answered = answer(number, benchmark, questions)
        if not is_first():
            continue
        if job.compare:
            file = job.compare[number]
            other = benchmark.answers(file, answered.questions, answered.problems)
            answered = replace(answered, other=other, other_name=file.name)
        results.append(score(answered, job.mode))
        entries[benchmark.name] = entry(results[-1])
        _write(job.out, results, entries)
        for line in _problems(answered):
            console.print(line, markup=False)
    if reasons := [reason for result in results for reason in _reasons(result)]:
        raise SetAside("; ".join(reasons))
    return results


def _folder(data: Path, benchmark: Benchmark) -> Path:
    return data / benchmark.name if (data / benchmark.name).is_dir() else data


def _texts(path: Path) -> dict[str, str]:
    return {id: row["text"] for id, row in read_log(path).items()}


def _write(out: Path, results: Sequence[Result], entries: Mapping[str, Mapping[str, Any]]) -> None:
    """report.json holds each benchmark's entry by name; of a single one its keys as well. What was
    measured of the model's efficiency stays there.
    """
    efficiency = {k: v for k, v in read_report(out).items() if k == "efficiency"}
    last = results[-1].answered
    single = entries[last.benchmark.name] if len(entries) == 1 else {}
    files = {
        "report.json": json.dumps({**single, **entries, **efficiency}, indent=2, ensure_ascii=False)
        + "\n",
        "report.md": markdown(list(entries.values())),
        "report.html": page(results, list(entries.values())),
    }
    for name, text in files.items():
        write_whole(out / name, text.encode(errors="replace"))
    for name, content in last.benchmark.submission(last.questions, last.answers).items():
        write_whole(out / last.benchmark.name / "submission" / name, content)


def _problems(answered: Answered) -> Iterator[str]:
    name = answered.benchmark.name
    yield from (f"{name}: {line}" for line in answered.problems.lines())
    for id, reason in islice(answered.aside.items(), _NAMED):
        yield f"{name}: set aside {id}: {reason}"


def _reasons(result: Result) -> Iterator[str]:
    """Why the run is not all that was asked for."""
    name, aside = result.answered.benchmark.name, result.answered.aside
    if aside:
        first = ", ".join(islice(aside, _NAMED))
        yield f"{len(aside)} questions of {name} could not be asked ({first}): see report.json"
    if result.void:
        yield f"{name} has no figure: {result.void}"
