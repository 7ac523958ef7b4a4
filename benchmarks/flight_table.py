"""Flight checks of the published recipes on the slices they would be trained on: a table, a curve.

  python benchmarks/flight_table.py --out=docs/flight_table.json [--reports=DIR]

Each line is one run of launch/flight_check.py, about a minute or two; those whose report is in the
folder already are not run again. Writes the JSON, the table as Markdown beside it, and a picture of
what a chip sends at the same work a chip on 16 to 256 of them. Everything is modelled.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import app, flags
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_REPORTS = flags.DEFINE_string("reports", "", "Folder of the single reports; empty: beside --out.")
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Line:
    """One flight check. rows 0: the recipe's."""

    config: str
    stage: str
    topology: str
    remat: str = "full"
    accumulate: int = 1
    rows: int = 0

    @property
    def name(self) -> str:
        parts = (self.config, self.stage, self.topology, self.remat, self.accumulate, self.rows)
        return "_".join(map(str, parts))

    def command(self, out: Path) -> list[str]:
        """Of the launcher, as a user would type it."""
        changes = {"remat": self.remat, f"stage.{self.stage}.accumulate": self.accumulate}
        if self.rows:
            changes[f"stage.{self.stage}.rows"] = self.rows
        return [
            "launch/flight_check.py",
            f"--config=configs/{self.config}.py",
            f"--stage={self.stage}",
            f"--topology={self.topology}",
            f"--out={out}",
            *(f"--config.{key}={value}" for key, value in changes.items()),
        ]


_7B, _13B = "llava_v1_5_7b", "llava_v1_5_13b"
TABLE = [
    Line(_7B, "instruct", "v5e-16", "inputs", 8),
    Line(_7B, "instruct", "v5e-64"),
    Line(_7B, "instruct", "v5e-256", "inputs", rows=256),
    Line(_7B, "instruct", "v4-64"),
    Line(_7B, "instruct", "v5p-8", "attention", 16),
    Line(_7B, "instruct", "v5p-64"),
    Line(_7B, "instruct", "4xv5e-16", "context", 1),
    Line(_7B, "align", "v5e-16", accumulate=4),
    Line(_7B, "align", "v5e-64"),
    Line(_7B, "align", "v5e-256"),
    Line(_7B, "align", "v5p-8", accumulate=8),
    Line(_13B, "instruct", "v5e-64"),
    Line(_13B, "instruct", "v5p-64"),
    Line(_13B, "align", "v5e-64"),
    Line("llava_v1_7b", "instruct", "v5e-16"),
    Line("llava_v1_13b", "instruct", "v5e-16"),
]
# Two rows a chip, whatever their number; v5e-64 has them already.
CURVE = [
    Line(_7B, "instruct", "v5e-16", rows=32),
    Line(_7B, "instruct", "v5e-64"),
    Line(_7B, "instruct", "v5e-256", rows=512),
]


def report_of(line: Line, folder: Path) -> dict[str, Any]:
    """The line's report, from the folder or from a run."""
    path = folder / f"{line.name}.json"
    if not path.exists():
        done = subprocess.run(
            [sys.executable, *line.command(path)],
            cwd=_REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(_REPOSITORY)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(line.command(path))}\n{done.stderr[-2000:]}")
    return json.loads(path.read_text())


def markdown(lines: list[Line], reports: list[dict[str, Any]]) -> str:
    """The table as README shows it."""
    rows = [
        "| recipe, stage | slice | batch | micro-batches, remat | peak GB a chip | modelled MFU | "
        "hours | chip-hours |",
        "| :-- | :-- | --: | :-- | --: | --: | --: | --: |",
    ]
    for line, report in zip(lines, reports, strict=True):
        fits = f"{report['peak_hbm_gib'] * 2**30 / 1e9:.1f}"
        hours = [f"{report[key]:,.1f}" for key in ("hours", "chip_hours")]
        how = f"{report['accumulate']}, {report['remat']}"
        cells = [
            f"{line.config.removeprefix('llava_')} {line.stage}",
            line.topology,
            str(report["batch"]),
            how,
            fits,
            f"{report['mfu']:.1%}",
            *hours,
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def sent(report: dict[str, Any]) -> dict[str, float]:
    """GB that a chip receives in a step, by what for."""
    kinds = {kind: figures["gib"] * 2**30 / 1e9 for kind, figures in report["collectives"].items()}
    reduced = kinds.get("reduce-scatter", 0.0) + kinds.get("all-reduce", 0.0)
    return {"weights gathered": kinds.get("all-gather", 0.0), "gradients reduced": reduced}


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    """Bytes of collectives a chip against the number of chips."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    chips = [report["chips"] for report in reports]
    for name in ("weights gathered", "gradients reduced"):
        axes.plot(chips, [sent(report)[name] for report in reports], "o-", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(chips, [str(count) for count in chips])
    axes.set_ylim(0)
    axes.set_xlabel("v5e chips, two rows of 2,048 tokens each")
    axes.set_ylabel("GB a chip and step")
    axes.set_title("LLaVA-1.5 7B, stage 2: collectives, from the compiled program")
    axes.legend()
    figure.savefig(path, dpi=110)


def main(_: list[str]) -> None:
    out = Path(_OUT.value)
    folder = Path(_REPORTS.value or out.with_suffix(""))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    lines = track([*TABLE, *CURVE], "flight checks", console=console)
    reports = [report_of(line, folder) for line in lines]
    table, curve = reports[: len(TABLE)], reports[len(TABLE) :]
    text = markdown(TABLE, table)
    print(text)
    out.with_suffix(".md").write_text(text)
    out.write_text(json.dumps({"table": table, "curve": curve}, indent=1) + "\n")
    draw(curve, out.with_suffix(".png"))


if __name__ == "__main__":
    app.run(main)
