"""What an ablation found: a table, a plot with intervals, and whether others' findings show."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.evaluation.ablation.plan import Factor, Grid, points, runs
from llava_jax.evaluation.ablation.running import Figure, Outcome
from llava_jax.markdown import plain, table
from llava_jax.run_folder import write_whole

NOTE = (
    "Figures with 95% intervals over questions: what another seed of training would change is not "
    "in them. Differences take the two runs as independent."
)


def report(grids: Sequence[Grid], outcomes: Mapping[str, Outcome], out: Path) -> None:
    """Leaves OUT/ablation.json, ablation.md and ablation.png."""
    findings = [finding(grid, grids, outcomes) for grid in grids]
    parts = ["# Ablation", NOTE, *(part for found in findings for part in _section(found))]
    failed = [f"- {plain(o.name)}: {plain(o.failed)}" for o in outcomes.values() if o.failed]
    if failed:
        parts += ["## Runs that failed", "\n".join(failed)]
    write_whole(out / "ablation.md", ("\n\n".join(filter(None, parts)) + "\n").encode())
    write_whole(out / "ablation.json", (json.dumps(findings, indent=2) + "\n").encode())
    _plot([found for found in findings if any(found["points"].values())], out / "ablation.png")


def finding(grid: Grid, grids: Sequence[Grid], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """A grid's figures by point, and what they say of what was found elsewhere."""
    wanted = runs(grids)
    figures = {
        point.label: dict(outcomes[wanted[point.identity].name].figures) for point in points(grid)
    }
    claims = list(_claims(grid[0], figures)) if len(grid) == 1 and grid[0].better else []
    return {"varied": [factor.name for factor in grid], "points": figures, "claims": claims}


def difference(a: Figure, b: Figure) -> Figure:
    """a - b of independent figures (Zou and Donner, 2008); of paired ones it is too careful."""
    value = a["value"] - b["value"]
    below = ((a["value"] - a["low"]) ** 2 + (b["high"] - b["value"]) ** 2) ** 0.5
    above = ((a["high"] - a["value"]) ** 2 + (b["value"] - b["low"]) ** 2) ** 0.5
    return {"value": value, "low": value - below, "high": value + above}


def verdict(gain: Figure) -> str:
    """Whether what was found elsewhere shows here."""
    if gain["low"] > 0:
        return "shows here too"
    return "the opposite shows here" if gain["high"] < 0 else "cannot be told here"


def _claims(
    factor: Factor, figures: Mapping[str, Mapping[str, Figure]]
) -> Iterator[dict[str, Any]]:
    """The better arm against each other one, in each figure that both have."""
    best = figures[factor.better]
    for arm, other in figures.items():
        for name in best.keys() & other.keys() if arm != factor.better else ():
            gain = difference(best[name], other[name])
            claim = {"better": factor.better, "than": arm, "source": factor.source, "figure": name}
            yield claim | {"gain": gain, "verdict": verdict(gain)}


def _section(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {plain(', '.join(found['varied']))}"
    names = list(dict.fromkeys(name for of in found["points"].values() for name in of))
    rows = [
        [label, *(_cell(of.get(name)) for name in names)] for label, of in found["points"].items()
    ]
    yield table([" x ".join(found["varied"]), *names], rows)
    lines = [
        f"{c['figure']}: {c['better']} above {c['than']} by {_cell(c['gain'])}; "
        f"that it is better ({c['source']}) {c['verdict']}."
        for c in sorted(found["claims"], key=lambda c: (c["than"], c["figure"]))
    ]
    yield "\n".join(f"- {plain(line)}" for line in lines)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return "{value:.1f} ({low:.1f} to {high:.1f})".format(**figure)


def _plot(findings: Sequence[Mapping[str, Any]], path: Path) -> None:
    """For each grid its figures over its points, side by side where intervals would overlap."""
    if not findings:
        return
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(8, 3.5 * len(findings)), layout="constrained")
    for axes, found in zip(
        canvas.subplots(len(findings), squeeze=False)[:, 0], findings, strict=True
    ):
        labels = list(found["points"])
        names = list(dict.fromkeys(name for of in found["points"].values() for name in of))
        for number, name in enumerate(names):
            known = [(x, of[name]) for x, of in enumerate(found["points"].values()) if name in of]
            places = [x + 0.06 * (number - (len(names) - 1) / 2) for x, _ in known]
            values = [figure["value"] for _, figure in known]
            errors = [
                [figure["value"] - figure["low"] for _, figure in known],
                [figure["high"] - figure["value"] for _, figure in known],
            ]
            axes.errorbar(places, values, errors, fmt="o-", capsize=3, lw=1, label=name)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set(title=" x ".join(found["varied"]), ylabel="with 95% intervals")
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    with path.open("wb") as file:
        canvas.savefig(file, format="png", dpi=120)
