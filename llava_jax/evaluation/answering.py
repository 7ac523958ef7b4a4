"""Has a model answer questions, many at a time; a restart asks only what is missing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from llava_jax.errors import UserError
from llava_jax.evaluation.answer_log import AnswerLog, merge_parts, new_row, part_of, read_log
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.views import View, shown, whole
from llava_jax.images import ImageError
from llava_jax.inference.answers import Writing
from llava_jax.inference.engine import Engine, ask
from llava_jax.inference.scheduler import Shapes
from llava_jax.processes import is_first

_SLOTS = 32  # answers that grow at a time
_BATCH = 16  # questions made ready at a time, while the answers to others grow


@dataclass(frozen=True)
class Way:
    """How questions are put; answers given in another way are never taken for these.

    model: its name in the answers. view: what is shown of the images. seen: the view's name.
    """

    model: str
    view: View = whole
    seen: str = "image"
    max_new_tokens: int = 1024

    @property
    def metadata(self) -> dict[str, Any]:
        return {"shown": self.seen, "max_new_tokens": self.max_new_tokens}


def answer_questions(
    engine: Callable[[], Engine], questions: Sequence[Question], path: Path, way: Way
) -> dict[str, str]:
    """Leaves the answers at `path`, in LLaVA's format; returns why questions have none, by id.

    Each process of the run answers its share into a file of its own; the first merges them. Reasons
    are known of a process's own share. engine: is made only if something is to be asked. Decoding
    is greedy.

    Raises:
      UserError: the file holds answers given in another way, or cannot be written.
    """
    known = read_log(path)
    _refuse_others(known.values(), way, path)
    missing = [question for question in questions if question.id not in known]
    _meet("answers are read")
    own = missing[jax.process_index() :: jax.process_count()]
    aside: dict[str, str] = {}
    if own:
        model = engine()
        with AnswerLog(part_of(path, jax.process_index())) as log, _progress() as progress:
            task = progress.add_task(f"{path.parent.name}, {path.stem}", total=len(own))
            for news in _ask(model, own, way):
                log.append(new_row(q, text, way.model, way.metadata) for q, text in news.answers)
                aside |= news.aside
                progress.advance(task, len(news.answers) + len(news.aside))
    _meet("answers are given")
    if is_first():
        merge_parts(path, questions)
    _meet("answers are merged")
    return aside


@dataclass
class _News:
    """What has become of some questions. aside: why they cannot be asked, by id."""

    answers: list[tuple[Question, str]] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)


@dataclass
class _Ready:
    """Questions made ready for the scheduler, and why others of them cannot be asked."""

    writings: list[tuple[Question, Writing]]
    aside: dict[str, str]


def _ask(engine: Engine, questions: Sequence[Question], way: Way) -> Iterator[_News]:
    """Images are loaded and looked at by another thread, a batch ahead of the answers."""
    batches = iter([questions[i : i + _BATCH] for i in range(0, len(questions), _BATCH)])
    scheduler = engine.scheduler(Shapes(slots=_SLOTS))
    growing: list[tuple[Question, Writing]] = []
    with ThreadPoolExecutor(1) as pool:

        def begin() -> Future[_Ready] | None:
            batch = next(batches, None)
            return pool.submit(_make_ready, engine, batch, way) if batch else None

        coming = begin()
        while coming or growing:
            if coming and not scheduler.waiting and (coming.done() or not scheduler.active):
                ready, coming = coming.result(), begin()
                for _, writing in ready.writings:
                    scheduler.submit(writing)
                growing += ready.writings
                yield _News(aside=ready.aside)
            scheduler.step(pieces=_SLOTS)
            if done := [(q, writing.text.text) for q, writing in growing if writing.done]:
                growing = [pair for pair in growing if not pair[1].done]
                yield _News(done)


def _make_ready(engine: Engine, batch: Sequence[Question], way: Way) -> _Ready:
    asked, requests, aside = [], [], {}
    for question in batch:
        try:
            images = shown(question, way.view)
        except ImageError as error:
            aside[question.id] = str(error)
        else:
            asked.append(question)
            requests.append(ask(question.prompt, *images, max_new_tokens=way.max_new_tokens))
    try:
        prompts = engine.prepare(requests)
    except UserError as error:
        if len(asked) == 1:
            return _Ready([], aside | {asked[0].id: str(error)})
        ready = [_make_ready(engine, [question], way) for question in asked]  # which of them it is
        for one in ready:
            aside |= one.aside
        return _Ready([pair for one in ready for pair in one.writings], aside)
    writings = map(engine.writing, requests, prompts)
    return _Ready(list(zip(asked, writings, strict=True)), aside)


def _refuse_others(rows: Iterable[dict[str, Any]], way: Way, path: Path) -> None:
    for row in rows:
        given = row["model_id"], row.get("metadata")
        if given != (way.model, way.metadata):
            raise UserError(
                f"{path} holds answers of {given[0]} ({given[1]}), not of {way.model} "
                f"({way.metadata}): name another --out, or remove the file"
            )


def _meet(what: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, console=Console(stderr=True))
