"""The figures of benchmarks as Markdown, beside the published ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llava_jax.markdown import plain, table

Entry = Mapping[str, Any]  # results.entry's

NOTE = (
    "95% intervals by bootstrap over images; blind: the same model shown grey; above blind: what "
    "sight adds; detectable: the difference to another model that this many questions would mostly "
    "show; invalid: answers that no rule reads."
)
_HEADER = (
    *("benchmark", "figure", "mode", "value", "95%", "blind", "above blind", "n"),
    *("invalid", "detectable", "other mode", "published"),
)


def markdown(entries: Sequence[Entry]) -> str:
    """One table of all benchmarks, then each one's categories, comparison and problems."""
    overview = table(_HEADER, [summary(entry) for entry in entries])
    sections = [section for entry in entries for section in _sections(entry)]
    return "\n\n".join(["# Benchmarks", overview, NOTE, *filter(None, sections)]) + "\n"


def summary(entry: Entry) -> list[str]:
    """A benchmark's cells of the overview."""
    if entry["overall"] is None:
        cells = [entry["name"], entry.get("metric", ""), entry["mode"], "none"]
        return cells + [""] * (len(_HEADER) - len(cells) - 1) + [published(entry, "")]
    overall, blind, other = entry["overall"], entry["blind"], entry["other_mode"]
    gain = blind["above_blind"] if blind else None
    return [
        entry["name"],
        entry["metric"],
        entry["mode"],
        number(overall["value"]),
        between(overall),
        number(blind["overall"]) if blind else "",
        between(gain, signed=True) if gain else "",
        f"{entry['n']:,}",
        f"{entry['invalid']:,}",
        number(entry["detectable_difference"]),
        f"{other['mode']} {number(other['overall'])}, {len(entry['disagreements']):,} differ",
        published(entry, ""),
    ]


def header() -> tuple[str, ...]:
    """The overview's column names."""
    return _HEADER


def categories(entry: Entry) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a benchmark's categories and further figures."""
    models = list(entry.get("published", {}))
    models = [m for m in models if set(entry["published"][m]) - {""}]
    rows = []
    for name, figure in (entry["categories"] | entry["figures"]).items():
        blind = (entry["blind"] or {"categories": {}})["categories"].get(name)
        cells = [name, number(figure["value"]), between(figure), number(blind), f"{figure['n']:,}"]
        rows.append(cells + [number(entry["published"][m].get(name)) for m in models])
    return ["category", "value", "95%", "blind", "n", *models], rows


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def between(figure: Mapping[str, float], signed: bool = False) -> str:
    form = "{:+.1f}" if signed else "{:.1f}"
    return f"{form.format(figure['low'])} to {form.format(figure['high'])}"


def published(entry: Entry, figure: str) -> str:
    """Models and their published figure; "" where none is known."""
    models = entry.get("published", {}).items()
    return ", ".join(f"{model} {of[figure]:g}" for model, of in models if figure in of)


def _sections(entry: Entry) -> Iterator[str]:
    yield f"## {plain(entry['name'])}"
    if entry["void"]:
        yield f"No figure: {plain(entry['void'])}"
    if entry["categories"] or entry["figures"]:
        yield table(*categories(entry))
    if compared := entry.get("compared"):
        yield plain(comparison(compared))
    lines = [f"{count:,} x {kind}" for kind, count in entry["problems"]["counts"].items()]
    lines += [f"set aside: {id}: {reason}" for id, reason in entry["set_aside"].items()]
    yield "\n".join(f"- {plain(line)}" for line in lines)


def comparison(compared: Mapping[str, Any]) -> str:
    """The paired difference in a sentence."""
    difference = compared["difference"]
    return (
        f"Against {compared['answers']} ({number(compared['overall'])}): "
        f"{difference['value']:+.2f} ({between(difference, signed=True)}); right alone: this one "
        f"{compared['only_this_right']:,}, the other {compared['only_other_right']:,} times "
        f"(McNemar's p {compared['mcnemar_p']:.3g}); these questions mostly show differences from "
        f"{compared['detectable_difference']:.2f} on."
    )
