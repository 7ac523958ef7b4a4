"""The run of launch/ensemble.py: two models' answers to ScienceQA, alone and made one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from llava_jax.evaluation import ensemble
from llava_jax.evaluation.asking import asker
from llava_jax.evaluation.benchmarks.benchmark import Mark, Mode, Question, accuracy
from llava_jax.evaluation.benchmarks.scienceqa import ScienceQa
from llava_jax.evaluation.statistics import interval
from llava_jax.markdown import table
from llava_jax.problems import Problems
from llava_jax.remote.budget import Budget
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.store import AnswerStore
from llava_jax.run_folder import write_whole


def evaluate_ensembles(
    data: Path,
    language_model: Path,
    llava: Path,
    out: Path,
    mode: Mode,
    judge: Endpoint | None,
    console: Console,
) -> dict[str, Any]:
    """Figures of both models and of their schemes, by category, in OUT/report.json and report.md.

    mode: how the models alone, and the oracle of them, are scored.

    judge: decides where the two differ; None leaves that scheme out. Its replies are kept in
    OUT/verdicts.jsonl.
    """
    bench, problems = ScienceQa(), Problems()
    questions = bench.load(data)
    said = [bench.answers(path, questions, problems) for path in (language_model, llava)]
    marks = [bench.score(questions, answers, mode).marks for answers in said]
    # What a scheme does where a model failed to answer must see that it did: no draws at random.
    strict = [bench.score(questions, answers, "strict").marks for answers in said]
    schemes: dict[str, Sequence[Mark]] = {
        "language model": marks[0],
        "llava": marks[1],
        "complement": ensemble.complement(*strict),
    }
    unread: list[str] = []
    if judge:
        with AnswerStore(out / "verdicts.jsonl") as store:
            ask = asker(judge, store, Budget(spent=store.usd))
            first, second = zip(strict, said, strict=True)
            schemes["judge"], unread = ensemble.judged(questions, first, second, ask)
    schemes["oracle"] = ensemble.oracle(*marks)
    report = {
        "name": bench.name,
        "mode": mode,
        "n": len(questions),
        "schemes": {name: _figures(questions, found) for name, found in schemes.items()},
        "against_llava": {
            name: dict(zip(("only_scheme", "only_llava", "mcnemar_p"), wins, strict=True))
            for name, found in schemes.items()
            if name != "llava"
            for wins in [ensemble.sole_wins(found, marks[1])]
        },
        "unread_verdicts": len(unread),
        "problems": problems.counts,
    }
    words = _markdown(report)
    write_whole(out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    write_whole(out / "report.md", words.encode())
    console.print(words, markup=False)
    return report


def _figures(questions: Sequence[Question], marks: Sequence[Mark]) -> dict[str, Any]:
    score = accuracy(questions, marks)
    tallies = {"all": score.overall, **score.categories}
    return {
        name: {key: 100 * value for key, value in asdict(interval(sums)).items()}
        for name, sums in tallies.items()
    }


def _markdown(report: Mapping[str, Any]) -> str:
    schemes, wins = report["schemes"], report["against_llava"]
    categories = list(next(iter(schemes.values())))
    rows = [
        [name, *(f"{of[category]['value']:.2f}" for category in categories),
         f"{wins[name]['mcnemar_p']:.2g}" if name in wins else ""]
        for name, of in schemes.items()
    ]  # fmt: skip
    return f"# ScienceQA ensembles\n\n{table(['scheme', *categories, 'p against llava'], rows)}\n"
