"""The win rate that is left when judges' liking for long answers is taken out.

After AlpacaEval 2 (Dubois et al., 2024, arXiv 2404.04475), for one pair of models:

    P(the candidate wins) = sigmoid(a + b tanh(d / s))

where d is the candidate's length less the reference's, in characters, and s the standard deviation
of d over the items. sigmoid(a) is the win rate at equal lengths.
"""

import math

import numpy as np
from jaxtyping import Float

from llava_jax.evaluation.judge.judgement import Judgement, preference
from llava_jax.evaluation.judge.relative import win_rates
from llava_jax.evaluation.statistics import Interval, interval

_PRIOR = 0.01  # 1 / variance of a and b: keeps them finite where length decides every item
_STEPS = 50  # of Newton's method; it needs about ten
_Z = 1.959963984540054  # of a 95% interval


def length_controlled_win_rate(judgement: Judgement) -> Interval:
    """Win rate at equal lengths; its interval is of the sandwich estimate, clustered by image.

    Where one side always wins, or the lengths always differ alike, there is no influence of length
    to see, and it is the plain win rate.
    """
    items, marks = judgement.read, judgement.marks
    wins = np.array([preference(marks[item.id]) for item in items])
    longer = np.array([float(len(item.candidate) - len(item.reference)) for item in items])
    if not items or longer.std() == 0 or wins.min() == wins.max():
        return interval(win_rates(judgement)["all"])
    inputs = np.stack([np.ones(len(items)), np.tanh(longer / longer.std())], axis=1)
    fitted = logistic(inputs, wins)
    error = _clustered_error(inputs, wins, fitted, [item.cluster for item in items])
    return Interval(*(_sigmoid(fitted[0] + z * error) for z in (0, -_Z, _Z)))


def logistic(
    inputs: Float[np.ndarray, "items inputs"], wins: Float[np.ndarray, " items"]
) -> Float[np.ndarray, " inputs"]:
    """Weights of a logistic regression on shares of wins, of the highest posterior (Newton)."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        slope = inputs.T @ (wins - _sigmoid(inputs @ weights)) - _PRIOR * weights
        step = np.linalg.solve(_curvature(inputs, weights), slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))  # no step beyond 1
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _clustered_error(
    inputs: np.ndarray, wins: np.ndarray, weights: np.ndarray, clusters: list[str]
) -> float:
    """Standard error of the first weight when the items of a cluster go together."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    slopes = np.zeros((len(names), len(weights)))
    np.add.at(slopes, index, inputs * (wins - _sigmoid(inputs @ weights))[:, None])
    inverse = np.linalg.inv(_curvature(inputs, weights))
    correction = len(names) / max(len(names) - 1, 1)
    return math.sqrt(correction * (inverse @ slopes.T @ slopes @ inverse)[0, 0])


def _curvature(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    share = _sigmoid(inputs @ weights)
    return (inputs.T * (share * (1 - share))) @ inputs + _PRIOR * np.eye(inputs.shape[1])


def _sigmoid(value):
    return 0.5 * (1 + np.tanh(value / 2))
