"""Flight checks side by side: the published recipes on the topologies one rents, or one recipe on
ever more chips with the work of a chip kept.

  python benchmarks/flight_checks.py --what=table --out=docs/flight_table
  python benchmarks/flight_checks.py --what=curve --out=docs/flight_curve

Each writes a JSON of the reports; the table prints itself as Markdown, the curve a PNG beside it.
What is there already is not compiled again, so a run that was stopped goes on. All of it is
modelled: compiled by the TPU's compiler, timed by a roofline.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags

from llava_jax import launching
from llava_jax.tpu.environment import COMPILER_ENVIRONMENT

_WHAT = flags.DEFINE_enum("what", "table", ["table", "curve"], "What to check.")
_OUT = flags.DEFINE_string("out", None, "Written as OUT.json, and OUT.png.", required=True)

RECIPES = ("llava_v1_5_7b", "llava_v1_5_13b")
STAGES = ("align", "instruct")
TOPOLOGIES = ("v5e-16", "v5e-64", "v6e-64", "v4-64", "v5p-8", "v5p-64")
CURVE = ("v5e-16", "v5e-32", "v5e-64", "v5e-128", "v5e-256")
ROWS_A_CHIP = 1

# A row of the table: recipe, stage, topology, rows of the batch (0: the recipe's).
Case = tuple[str, str, str, int]


def main() -> None:
    from llava_jax.tpu.environment import own_temporary_folder

    own_temporary_folder()
    out = Path(_OUT.value).expanduser()
    if _WHAT.value == "table":
        cases: list[Case] = [(r, s, t, 0) for r in RECIPES for s in STAGES for t in TOPOLOGIES]
    else:
        from llava_jax.tpu.topology import parse_topology

        chips = {name: parse_topology(name).chips for name in CURVE}
        cases = [("llava_v1_5_7b", "instruct", t, ROWS_A_CHIP * chips[t]) for t in CURVE]
    reports = collect(cases, out.with_suffix(".json"))
    if _WHAT.value == "table":
        print_table(reports)
    else:
        draw_curve(reports, out.with_suffix(".png"))


def collect(cases: list[Case], path: Path) -> list[dict[str, Any]]:
    """The reports of all cases, kept in the file as they come."""
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for case in cases:
        key = " ".join(map(str, case))
        if key not in done:
            done[key] = check(case)
            path.write_text(json.dumps(done, indent=2) + "\n")
    return [done[" ".join(map(str, case))] for case in cases]


def check(case: Case) -> dict[str, Any]:
    """The report of one case; where the recipe does not fit, of the nearest on that topology."""
    import importlib

    from rich.console import Console

    from llava_jax.config import parse
    from llava_jax.errors import UserError
    from llava_jax.tpu.flight_check import Check
    from llava_jax.tpu.search import check_or_nearest
    from llava_jax.tpu.topology import parse_topology

    recipe, stage, topology, rows = case
    config = importlib.import_module(f"configs.{recipe}").get_config()
    if rows:
        config.stage[stage].rows = rows
    console = Console(stderr=True)
    try:
        report, _ = check_or_nearest(Check(parse(config), stage, parse_topology(topology)), console)
    except UserError as error:
        return {"asked": list(case), "fits": False, "error": str(error)}
    return {"asked": list(case), **report.as_dict()}


def print_table(reports: list[dict[str, Any]]) -> None:
    """Markdown; a topology in parentheses is the nearest that fits."""
    print("| recipe | stage | topology | peak GiB | modelled MFU | tokens/s/chip | hours | limit |")
    print("|---|---|---|--:|--:|--:|--:|---|")
    for report in reports:
        recipe, stage, topology, _ = report["asked"]
        if not report["fits"]:
            print(f"| {recipe} | {stage} | {topology} | does not fit | | | | |")
            continue
        nearest = "" if report["topology"] == topology else f" ({report['topology']})"
        micro = f", {report['accumulate']} micro-batches" if report["accumulate"] > 1 else ""
        print(
            f"| {recipe} | {stage} | {topology}{nearest}{micro} | {report['peak_hbm_gib']:.1f} of "
            f"{report['usable_hbm_gib']:.2f} | {report['mfu']:.0%} | "
            f"{report['tokens_per_second_per_chip']:,.0f} | {report['hours']:.1f} | "
            f"{report['limited_by']} |"
        )


def draw_curve(reports: list[dict[str, Any]], path: Path) -> None:
    """Bytes that a chip receives in a step, by kind, against the number of chips."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    chips = [report["chips"] for report in reports]
    for kind in ("all-gather", "reduce-scatter", "all-reduce"):
        gib = [report["collectives"].get(kind, {"gib": 0.0})["gib"] for report in reports]
        axes.plot(chips, gib, marker="o", label=kind)
    axes.set_xscale("log", base=2)
    axes.set_xticks(chips, [str(n) for n in chips])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"v5e chips, {ROWS_A_CHIP} row(s) of 2048 tokens each")
    axes.set_ylabel("GiB received by a chip, a step")
    axes.set_title("LLaVA-1.5-7B, stage 2: the network's work a chip stays flat (modelled)")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    launching.run(main, COMPILER_ENVIRONMENT)
