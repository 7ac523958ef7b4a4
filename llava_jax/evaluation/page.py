"""The results of benchmarks as one HTML page: figures, plots, examples, failures in groups."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import Any

from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.results import Result
from llava_jax.evaluation.tables import (
    NOTE,
    Entry,
    categories,
    comparison,
    header,
    summary,
)
from llava_jax.evaluation.views import shown
from llava_jax.images import ImageError
from llava_jax.page import data_url, jpeg, whole_page

_SIDE = 220  # pixels: no picture is larger
_RIGHT = 4  # examples of right answers
_GROUPS = 8  # groups of failures that are shown, the largest
_OF_GROUP = 3  # examples of each
_DIFFERENT = 20  # disagreements of the modes that are listed
_LONGEST = 600  # characters of a question or an answer


@dataclass(frozen=True)
class Example:
    """One question with what was said, how that was read, and what is true."""

    question: Question
    answer: str
    read: str
    right: float


def page(results: Sequence[Result], entries: Sequence[Entry]) -> str:
    """entries: `results.entry` of each."""
    overview = _table(header(), [summary(entry) for entry in entries])
    sections = "\n".join(map(_section, results, entries))
    body = f"<h1>Benchmarks</h1><section>{overview}<p><small>{escape(NOTE)}</small></p></section>"
    return whole_page("Benchmarks", _STYLE, f"{body}\n{sections}")


def failures(result: Result) -> dict[tuple[str, str], list[Example]]:
    """Answers that are not wholly right by category and what was read; the largest groups first."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for example in _examples(result):
        if example.right < 1:
            for category in example.question.groups or ("all",):
                groups.setdefault((category, example.read), []).append(example)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _examples(result: Result) -> Iterator[Example]:
    for question, mark in zip(result.answered.questions, result.marks, strict=False):
        yield Example(question, result.answered.answers[question.id], mark.read, mark.right)


def _section(result: Result, entry: Entry) -> str:
    parts = [f"<h2>{escape(entry['name'])}</h2>"]
    if entry["void"]:
        parts.append(f'<p class="wrong">No figure: {escape(entry["void"])}</p>')
    if entry["categories"]:
        parts += [_plot(entry), _table(*categories(entry))]
    if compared := entry.get("compared"):
        parts.append(f"<p>{escape(comparison(compared))}</p>")
    if result.marks:
        right = islice((e for e in _examples(result) if e.right == 1), _RIGHT)
        parts += ["<h3>Right answers</h3>", _cards(right), *_failures(result)]
    if entry.get("disagreements"):
        parts += _disagreements(result, entry["disagreements"])
    return f"<section>{''.join(parts)}</section>"


def _failures(result: Result) -> Iterator[str]:
    groups = failures(result)
    if groups:
        yield "<h3>Failures by category and what was read</h3>"
    for (category, read), examples in islice(groups.items(), _GROUPS):
        said = f"read as “{_short(read)}”" if read else "not read"
        yield (
            f"<details open><summary>{escape(category)}, {said}: {len(examples):,}</summary>"
            f"{_cards(examples[:_OF_GROUP])}</details>"
        )
    if len(groups) > _GROUPS:
        rest = list(groups.items())[_GROUPS:]
        rows = [
            [category, read, f"{len(group):,}"] for (category, read), group in rest[:_DIFFERENT]
        ]
        yield f"<details><summary>{len(rest):,} smaller groups</summary>"
        yield _table(["category", "read", "answers"], rows) + "</details>"


def _disagreements(result: Result, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield f"<h3>{len(rows):,} answers that the modes take differently</h3>"
    yield _table(
        ["question", "answer", "paper", "strict"],
        [
            [row["question"], result.answered.answers[row["question"]], row["paper"], row["strict"]]
            for row in rows[:_DIFFERENT]
        ],
    )


def _cards(examples: Iterator[Example] | Sequence[Example]) -> str:
    return f'<div class="cards">{"".join(map(_card, examples))}</div>'


def _card(example: Example) -> str:
    kind = "right" if example.right == 1 else "wrong"
    truth = _truth(example.question.truth)
    told = f"<p><small>truth: {_short(truth)}</small></p>" if truth else ""
    return (
        f'<figure>{_pictures(example.question)}<p class="asked">{_short(example.question.prompt)}'
        f'</p><p class="{kind}">{_short(example.answer or "(no answer)")}</p>{told}</figure>'
    )


def _pictures(question: Question) -> str:
    try:
        urls = [jpeg(image, _SIDE)[0] for image in shown(question)]
    except ImageError as error:
        return f"<p><small>no picture: {escape(error.reason)}</small></p>"
    return "".join(f'<img src="{url}" alt="">' for url in urls)


def _truth(truth: Any) -> str:
    """A benchmark's truth in words: an answer, or the answers that people gave."""
    if isinstance(truth, Mapping):
        return str(truth.get("answer", ""))
    if hasattr(truth, "answer"):
        return str(truth.answer)
    if isinstance(truth, list | tuple):
        return ", ".join(dict.fromkeys(map(str, truth)))
    return "" if truth is None else str(truth)


def _short(text: str) -> str:
    return escape(text if len(text) <= _LONGEST else text[:_LONGEST] + " ...")


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ("".join(f"<td>{_short(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _plot(entry: Entry) -> str:
    """Categories with their intervals, beside the blind figures and the published ones."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    names = list(entry["categories"])
    places = range(len(names), 0, -1)
    figure, axes = plt.subplots(figsize=(8, 1 + 0.32 * len(names)), layout="constrained")
    figures = [entry["categories"][name] for name in names]
    low, high = ([f[end] for f in figures] for end in ("low", "high"))
    axes.hlines(places, low, high, color="#2a6fdb", lw=5, alpha=0.35)
    axes.plot([f["value"] for f in figures], places, "o", color="#2a6fdb", label="this model")
    others = {"blind": (entry["blind"] or {}).get("categories", {}), **entry["published"]}
    for mark, (label, known) in zip("x^sdvP*<>+", others.items(), strict=False):
        points = [(known[name], y) for name, y in zip(names, places, strict=True) if name in known]
        if points:
            axes.plot(*zip(*points, strict=True), mark, mfc="none", label=label)
    axes.set_yticks(places, names)
    axes.set_xlabel(f"{entry['metric']}, {entry['unit']}")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg")
    plt.close(figure)
    return f'<img class="plot" src="{data_url("image/svg+xml", drawn.getvalue())}" alt="">'


_STYLE = """
h3 { margin: 1.2rem 0 .4rem; font-size: 1rem; }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #d5d9e2; text-align: left;
  overflow-wrap: anywhere; }
.plot { display: block; max-width: 100%; margin: .6rem 0; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { flex: 0 1 220px; margin: 0; padding: .6rem; border: 1px solid #d5d9e2; border-radius: 6px;
  font-size: .85rem; overflow-wrap: anywhere; }
figure p { margin: .3rem 0; white-space: pre-wrap; }
figure img { max-width: 100%; border-radius: 4px; }
summary { margin: .6rem 0; }
.asked { color: #6a7385; }
.right { color: #1a8f4c; }
.wrong { color: #cc3344; }
"""
