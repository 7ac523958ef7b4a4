"""Several judges: what they say together, how many votes that is, and whom they favour."""

from collections.abc import Mapping, Sequence

import numpy as np

from llava_jax.evaluation.judge.judgement import Item, Judgement, Marks, Verdict, preference
from llava_jax.evaluation.statistics import Interval, difference_interval, tally


def pooled(judgements: Sequence[Judgement]) -> Judgement:
    """The panel as one judge: the mean of the judges' marks; unreadable where one judge's is.

    All judges must have judged the same items in the same orders.
    """
    verdicts = []
    for of_all in zip(*(judgement.verdicts for judgement in judgements), strict=True):
        if len({(verdict.item, verdict.order) for verdict in of_all}) > 1:
            raise ValueError("the judges of a panel judge the same items in the same orders")
        marks = [verdict.marks for verdict in of_all if verdict.marks is not None]
        mean: Marks | None = None
        if len(marks) == len(of_all):
            reference, candidate = np.mean(marks, axis=0)
            mean = (float(reference), float(candidate))
        verdicts.append(Verdict(of_all[0].item, of_all[0].order, "", mean))
    name = " + ".join(judgement.judge for judgement in judgements)
    return Judgement(name, judgements[0].items, tuple(verdicts))


def effective_votes(
    judgements: Sequence[Judgement], truth: Mapping[str, float] | None = None
) -> float:
    """How many independent judges would be worth as much as these n:

        n / (1 + (n - 1) r), r the mean correlation of two judges' errors, taken as 0 to 1

    (Kish's design effect). An error is how far a judge's preference (1 for the candidate, 0 for
    the reference) is from the truth: people's preference by item. Without a truth r is the
    correlation of the preferences themselves, which agree also where all are right: the result is
    a lower bound. A judge who always says the same correlates with all: it adds no vote.
    """
    n = len(judgements)
    if n < 2:
        return float(n)
    known = set.intersection(*(set(judgement.marks) for judgement in judgements))
    shared = sorted(known if truth is None else known & set(truth))
    said = np.array([[preference(judge.marks[id]) for id in shared] for judge in judgements])
    errors = said if truth is None else np.abs(said - [truth[id] for id in shared])
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = np.nan_to_num(np.corrcoef(errors), nan=1.0)
    mean = float(np.clip(correlations[~np.eye(n, dtype=bool)].mean(), 0, 1))
    return n / (1 + (n - 1) * mean)


def self_preference(
    judgements: Sequence[Judgement], candidate_family: str, reference_family: str
) -> dict[str, Interval]:
    """By judge of a family that takes part: how much more often it prefers its family's answer.

    Its share of preferences for that answer less the mean share of the judges of other families,
    on the items that all of them read, with a paired interval by image. Empty where no judge is of
    a family that takes part, or all are, or both answers are of one family.
    """
    sides = {candidate_family: 1.0, reference_family: 0.0}
    others = [judgement for judgement in judgements if judgement.family not in sides]
    own = [judgement for judgement in judgements if judgement.family in sides]
    if not others or len(sides) == 1:
        return {}
    gaps = {}
    for judge in own:
        items = [i for i in judge.read if all(i.id in other.marks for other in others)]
        side = sides[judge.family]
        theirs = np.mean([_shares(other, items, side) for other in others], axis=0)
        clusters, ones = [item.cluster for item in items], np.ones(len(items))
        gaps[judge.judge] = difference_interval(
            tally(clusters, _shares(judge, items, side), ones), tally(clusters, theirs, ones)
        )
    return gaps


def _shares(judgement: Judgement, items: Sequence[Item], side: float) -> np.ndarray:
    """1 where the judge prefers the answer of a side (1 is the candidate's), 0.5 for even ones."""
    preferences = np.array([preference(judgement.marks[item.id]) for item in items])
    return 1 - np.abs(side - preferences)


def warnings(
    judges: Sequence[str], candidate_family: str, training_families: Sequence[str]
) -> list[str]:
    """Sentences on judges that may be no neutral ones. judges: as family:model.

    training_families: of the models that wrote the candidate's training data.
    """
    lines = []
    for judge in judges:
        family = judge.partition(":")[0]
        if family in training_families:
            lines.append(
                f"CIRCULAR: {judge} judges a model whose training data its family ({family}) "
                "wrote; what it rewards may be its own manner. Add judges of other families."
            )
        if family == candidate_family:
            lines.append(f"SELF-JUDGED: {judge} judges a model of its own family ({family}).")
    return lines
