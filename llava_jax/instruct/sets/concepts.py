"""Captions chosen so that rare concepts stay and common ones do not crowd them out."""

import io
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from llava_jax.run_folder import RunFolder, write_whole

FEWEST = 3  # captions: a rarer phrase is no concept
MOST = 100  # captions drawn for one phrase

_BEFORE, _AFTER = "#3b6fb6", "#cc3344"


@dataclass(frozen=True)
class Choice:
    """kept: positions of captions, ascending. before, after: captions by noun phrase."""

    kept: list[int]
    before: Counter[str]
    after: Counter[str]


def choose(
    phrases: Sequence[Sequence[str]], seed: int, fewest: int = FEWEST, most: int = MOST
) -> Choice:
    """Which captions to keep, by the noun phrases of each (LLaVA, appendix: CC3M to CC-595K).

    Phrases of fewer than `fewest` captions are skipped; from the rarest of the others up, the
    captions that hold the phrase join the pool, at random `most` of them where there are more.

    Unsaid in the paper, and chosen here: a phrase's frequency is the number of captions that hold
    it, however often; the `most` are drawn from all its captions, whether or not rarer phrases
    have brought some of them already, so the order of the phrases makes no difference and a common
    phrase may keep more than `most`; each phrase draws by a seed of its own, so that a phrase more
    or less changes no other's draw; a caption without a phrase that counts is left out; what is one
    phrase is for the reader of phrases to say (noun_phrases.py).
    """
    places: dict[str, list[int]] = {}
    for place, found in enumerate(phrases):
        for phrase in dict.fromkeys(found):
            places.setdefault(phrase, []).append(place)
    pool: set[int] = set()
    for phrase, holders in places.items():
        if len(holders) < fewest:
            continue
        if len(holders) > most:
            holders = random.Random(f"{seed}/{phrase}").sample(holders, most)
        pool.update(holders)
    kept = sorted(pool)
    return Choice(kept, count_phrases(phrases), count_phrases(phrases[place] for place in kept))


def count_phrases(phrases: Iterable[Sequence[str]]) -> Counter[str]:
    """The number of captions that hold each phrase."""
    return Counter(phrase for found in phrases for phrase in dict.fromkeys(found))


def draw_balance(choice: Choice, captions: int, path: RunFolder) -> None:
    """Writes a PNG: how many captions hold the most frequent phrase, the second, ... on log axes.

    captions: how many there were to choose from.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for counts, kept, color, name in (
        (choice.before, captions, _BEFORE, "before"),
        (choice.after, len(choice.kept), _AFTER, "after"),
    ):
        frequencies = sorted(counts.values(), reverse=True)
        label = f"{name}: {kept:,} captions, {len(frequencies):,} noun phrases"
        axes.plot(range(1, len(frequencies) + 1), frequencies, color=color, label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="rank of the noun phrase", ylabel="captions with it"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.3)
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    write_whole(path, drawn.getvalue())
