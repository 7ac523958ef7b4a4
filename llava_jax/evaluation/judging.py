"""The run of launch/judge.py: judges read a model's answers, and their panel is reported."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from llava_jax.errors import SetAside, UserError
from llava_jax.evaluation.asking import asker
from llava_jax.evaluation.benchmarks.llava_bench import LLAVA_BENCH_COCO, LLAVA_BENCH_WILD
from llava_jax.evaluation.benchmarks.mm_vet import MmVet
from llava_jax.evaluation.judge.agreement import read_ratings
from llava_jax.evaluation.judge.asking import Judge, Method
from llava_jax.evaluation.judge.pairwise import Pairwise
from llava_jax.evaluation.judge.pointwise import PaperRules, Pointwise
from llava_jax.evaluation.judge.relative import paper_scores, relative_scores, win_rates
from llava_jax.evaluation.judge.run import Families, panel_report, run_judge
from llava_jax.evaluation.results import Answered, entry, score
from llava_jax.markdown import table
from llava_jax.problems import Problems
from llava_jax.remote.budget import Budget
from llava_jax.remote.store import AnswerStore
from llava_jax.run_folder import write_whole

BENCHES = {bench.name: bench for bench in (LLAVA_BENCH_COCO, LLAVA_BENCH_WILD)}
Way = Literal["pointwise", "pairwise", "paper"]


@dataclass(frozen=True)
class Panel:
    """Who judges and how. rules: LLaVA's rule.json, for the paper's way. max_usd: of all judges.

    families: whose the models are. humans: ratings by people to compare with, or None.
    """

    judges: Sequence[Judge]
    way: Way
    families: Families
    rules: Path | None = None
    humans: Path | None = None
    max_usd: float = float("inf")


@dataclass(frozen=True)
class Judged:
    """What is judged: answers in LLaVA's format to a benchmark in `data`; reports go to `out`."""

    benchmark: str
    data: Path
    answers: Path
    out: Path


def judge_answers(judged: Judged, panel: Panel, console: Console) -> dict[str, Any]:
    """The panel's report on LLaVA-Bench answers, in OUT/report.json and report.md.

    Every reply of a judge is kept in OUT/verdicts.jsonl and is not paid again.
    Raises SetAside where the run is void: the report then says why and has no headline.
    """
    bench, problems = BENCHES[judged.benchmark], Problems()
    questions = bench.load(judged.data)
    items = bench.items(questions, bench.model_answers(judged.answers, questions, problems))
    method = _method(panel, bench.rule_prefix)
    figures = {"pointwise": relative_scores, "paper": paper_scores, "pairwise": win_rates}
    ratings = read_ratings(panel.humans, problems) if panel.humans else None
    with AnswerStore(judged.out / "verdicts.jsonl") as store:
        budget = Budget(panel.max_usd, spent=store.usd)
        runs = [run_judge(items, judge, method, store, budget) for judge in panel.judges]
    report = panel_report(runs, figures[panel.way], panel.families, ratings)
    report = {"name": bench.name, "mode": panel.way, **report, "problems": problems.counts}
    _write(judged.out, report, _markdown(report))
    console.print(_markdown(report), markup=False)
    for warning in report["warnings"]:
        console.print(f"[bold red]warning:[/] {warning}")
    if report["void"]:
        raise SetAside(f"{bench.name} has no figure: {report['void']}")
    return report


def grade_answers(judged: Judged, panel: Panel, console: Console) -> dict[str, Any]:
    """MM-Vet graded by the panel's only judge; report and verdicts as of `judge_answers`."""
    if len(panel.judges) != 1:
        raise UserError("mm_vet is graded by one model: give one --judge")
    bench, problems = MmVet(), Problems()
    questions = bench.load(judged.data)
    answers = bench.answers(judged.answers, questions, problems)
    with AnswerStore(judged.out / "verdicts.jsonl") as store:
        budget = Budget(panel.max_usd, spent=store.usd)
        grades = bench.grade(questions, answers, asker(panel.judges[0].endpoint, store, budget))
    result = score(Answered(bench, questions, grades, problems), "strict")
    report = entry(result) | {"judge": panel.judges[0].name}
    overall = report["overall"] or {"value": float("nan"), "low": 0.0, "high": 0.0}
    rows = [("all", "{value:.1f} ({low:.1f}..{high:.1f})".format(**overall))]
    rows += [(name, f"{of['value']:.1f}") for name, of in report["categories"].items()]
    words = f"# mm_vet\n\n{table(('capability', 'grade'), rows)}\n"
    _write(judged.out, report, words)
    console.print(words, markup=False)
    return report


def _method(panel: Panel, prefix: str) -> Method:
    if panel.way == "paper":
        if panel.rules is None:
            raise UserError(
                "the paper's way needs --rules: llava/eval/table/rule.json of LLaVA's repository"
            )
        return PaperRules.from_file(panel.rules, prefix)
    return Pairwise() if panel.way == "pairwise" else Pointwise()


def _write(out: Path, report: dict[str, Any], words: str) -> None:
    write_whole(out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    write_whole(out / "report.md", words.encode())


def _markdown(report: dict[str, Any]) -> str:
    """Score of the panel and of each judge, and what tells whether to believe it."""
    header = ("judge", "all", *report["categories"], "flips", "unread", "canaries ranked rightly")
    of_each = {"panel": report, **report["judges"]}
    rows = [
        [name, *_scores(of, report["categories"]), _share(of["flip_rate"]),
         _share(of["invalid_share"]), _share(min(of.get("canaries", {}).values(), default=None))]
        for name, of in of_each.items()
    ]  # fmt: skip
    lines = [f"# {report['name']} ({report['mode']})", table(header, rows)]
    if report["void"]:
        lines.append(f"No figure: {report['void']}")
    lines += [f"Warning: {warning}" for warning in report["warnings"]]
    return "\n\n".join(lines) + "\n"


def _scores(of: dict[str, Any], categories: Sequence[str]) -> list[str]:
    found = [of["overall"], *(of["categories"].get(name) for name in categories)]
    return [
        "{:.1f} ({:.1f}..{:.1f})".format(*(100 * f[k] for k in ("value", "low", "high")))
        if f
        else "none"
        for f in found
    ]


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
