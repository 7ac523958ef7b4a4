"""A judge's run over items and canaries, and the report on a panel of judges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llava_jax.evaluation.judge.agreement import Ratings, agreement, people_prefer
from llava_jax.evaluation.judge.asking import Judge, Method, judge_items
from llava_jax.evaluation.judge.canaries import canaries, failures, ranked_rightly
from llava_jax.evaluation.judge.judgement import Item, Judgement
from llava_jax.evaluation.judge.panel import effective_votes, pooled, self_preference, warnings
from llava_jax.evaluation.judge.preference import length_controlled_win_rate
from llava_jax.evaluation.judge.relative import win_rates
from llava_jax.evaluation.judge.verdicts import UNREAD
from llava_jax.evaluation.statistics import Tally, interval
from llava_jax.remote.budget import Budget
from llava_jax.remote.store import AnswerStore


@dataclass(frozen=True)
class JudgeRun:
    """What a judge said of the items, and how it ranked the canaries (share by kind)."""

    judgement: Judgement
    canaries: dict[str, float]

    @property
    def void(self) -> list[str]:
        """Sentences why nothing that this judge said may be used; none if it may."""
        unreadable = [self.judgement.void] if self.judgement.void else []
        return unreadable + failures(self.judgement.judge, self.canaries)


@dataclass(frozen=True)
class Families:
    """Whose the models are, to see which judges are no neutral ones.

    training: of the models that wrote the candidate's training data.
    """

    candidate: str
    reference: str
    training: tuple[str, ...] = ()


# The headline, for "all" and by category: relative_scores (of PaperRules: paper_scores) where the
# judges give marks, win_rates where they give preferences.
Figures = Callable[[Judgement], dict[str, Tally]]


def run_judge(
    items: Sequence[Item], judge: Judge, method: Method, store: AnswerStore, budget: Budget
) -> JudgeRun:
    """Has items and canaries judged. Raises as `ask` and `canaries` do."""
    kinds = canaries(items)
    known = [item for of_kind in kinds.values() for item in of_kind]
    judgement = judge_items([*items, *known], judge, method, store, budget)
    return JudgeRun(judgement.of(items), ranked_rightly(kinds, judgement.of(known)))


def panel_report(
    runs: Sequence[JudgeRun], figures: Figures, families: Families, ratings: Ratings | None = None
) -> dict[str, Any]:
    """What a panel says, ready for JSON; shares and ratios, not percent.

    Judges whose run is void have no part in overall, categories and what follows from them; each
    judge's own figures stand under "judges". overall is None, and void says why, where no judge is
    left or too many verdicts of the rest cannot be read.
    """
    usable = [run.judgement for run in runs if not run.void]
    names = [run.judgement.judge for run in runs]
    if usable:
        panel = pooled(usable)
        reasons = [panel.void] if panel.void else []
    else:
        panel = pooled([run.judgement for run in runs])
        reasons = [reason for run in runs for reason in run.void]
    return {
        **_figures(panel, figures, show=not reasons),
        "void": "; ".join(reasons),
        "warnings": warnings(names, families.candidate, families.training)
        + [reason for run in runs for reason in run.void if reason not in reasons],
        "circular": any(run.judgement.family in families.training for run in runs),
        "effective_votes": effective_votes(usable, people_prefer(ratings or {})),
        "self_preference": {
            name: asdict(gap)
            for name, gap in self_preference(usable, families.candidate, families.reference).items()
        },
        "judges": {run.judgement.judge: _judge_report(run, figures, ratings) for run in runs},
    }


def _judge_report(run: JudgeRun, figures: Figures, ratings: Ratings | None) -> dict[str, Any]:
    judgement = run.judgement
    candidates = {id: candidate for id, (_, candidate) in judgement.marks.items()}
    return {
        **_figures(judgement, figures, show=not run.void),
        "void": "; ".join(run.void),
        "canaries": run.canaries,
        "agreement_with_people": agreement(ratings, candidates) if ratings else None,
    }


def _figures(judgement: Judgement, figures: Figures, show: bool) -> dict[str, Any]:
    """show: false leaves out what could be taken for a result."""
    intervals: Mapping[str, dict[str, float]] = {}
    if show:
        intervals = {name: asdict(interval(of)) for name, of in figures(judgement).items()}
    return {
        "overall": intervals.get("all"),
        "categories": {name: of for name, of in intervals.items() if name != "all"},
        "win_rate": asdict(interval(win_rates(judgement)["all"])) if show else None,
        "length_controlled_win_rate": (
            asdict(length_controlled_win_rate(judgement)) if show else None
        ),
        "n": len(judgement.read),
        "verdicts": len(judgement.verdicts),
        "invalid": judgement.invalid,
        "invalid_share": judgement.invalid_share,
        "averaged_in_unread": sum(v.marks == UNREAD for v in judgement.verdicts),  # by the paper
        "flip_rate": judgement.flip_rate,
        "first_place_gain": judgement.first_place_gain,
    }
