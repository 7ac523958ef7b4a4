"""The largest share of useful tokens that any packing of whole samples could reach.

The fewest rows that hold a mixture are at least the optimum of the fractional cutting-stock
problem, solved by column generation (Gilmore and Gomory, 1961): prices of samples from a linear
programme over known rows, and the dearest row at those prices from a knapsack. At any prices the
programme's rows, divided by the dearest row's worth, are a lower bound (Farley, 1990).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog

_GRAIN = 8  # tokens: lengths are rounded down to these, which can only raise the bound
_CLOSE = 1.002  # worth of the dearest row at which the bound is as good as exact


def best_fill(
    lengths: Int[np.ndarray, " n"],
    images: Int[np.ndarray, " n"],
    rows: Sequence[Sequence[int]],
    *,
    length: int,
    slots: int,
) -> float:
    """Upper bound of the share of positions that hold tokens, in rows of `length` and `slots`.

    rows: some packing of the samples, to start from.
    """
    grained = np.stack([lengths // _GRAIN, images], axis=1)
    kinds, kind, counts = np.unique(grained, axis=0, return_inverse=True, return_counts=True)
    patterns = {tuple(np.bincount(kind.ravel()[row], minlength=len(kinds))) for row in rows}
    columns = [*np.eye(len(kinds)), *(np.array(pattern, float) for pattern in sorted(patterns))]
    fewest = 0.0
    while True:
        solved = linprog(
            np.ones(len(columns)), A_ub=-np.stack(columns, axis=1), b_ub=-counts, method="highs"
        )
        prices = -solved.ineqlin.marginals
        worth, dearest = _dearest_row(kinds, prices, length // _GRAIN, slots)
        fewest = max(fewest, solved.fun / max(worth, 1.0))
        if worth < _CLOSE:
            return float(lengths.sum() / (fewest * length))
        columns.append(dearest)


def _dearest_row(
    kinds: Int[np.ndarray, "k 2"], prices: Float[np.ndarray, " k"], room: int, slots: int
) -> tuple[float, Float[np.ndarray, " k"]]:
    """The row of greatest price, and how many samples of each kind it holds."""
    best = np.zeros((room + 1, slots + 1))
    chosen = np.full(best.shape, -1)
    for space in range(1, room + 1):
        fitting = np.flatnonzero(kinds[:, 0] <= space)
        for free in range(slots + 1):
            some = fitting[kinds[fitting, 1] <= free]
            worth = prices[some] + best[space - kinds[some, 0], free - kinds[some, 1]]
            best[space, free] = best[space - 1, free]
            if len(some) and worth.max() > best[space, free]:
                best[space, free] = worth.max()
                chosen[space, free] = some[worth.argmax()]
    row = np.zeros(len(kinds))
    space, free = room, slots
    while space > 0:
        kind = chosen[space, free]
        if kind < 0:
            space -= 1
            continue
        row[kind] += 1
        space, free = space - kinds[kind, 0], free - kinds[kind, 1]
    return float(best[room, slots]), row
