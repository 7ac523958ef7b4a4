"""Answers whose worth is known, put to a judge among the others: one who fails there is no judge.

The reference's answer is compared with itself and with worse things made of it. What a judge must
do is stated in `BOUNDS`: the least and the most share of comparisons that the reference may win
(an even one counts half, one without a readable verdict is lost).
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.judge.judgement import Item, Judgement, preference

BOUNDS = {
    "reference": (0.35, 0.65),  # the same answer twice: even, up to the judge's noise
    "empty": (0.95, 1.0),
    "truncated": (0.8, 1.0),
    "padded": (0.5, 1.0),  # words that say nothing must not win; even is right
    "shuffled": (0.9, 1.0),
}
_FILLER = (
    " There is, of course, a great deal more that one could say about all of this. Every picture "
    "can be looked at in many different ways, and each of them has something to it. Taking "
    "everything together, these are points that are well worth thinking about with care, and it "
    "is hoped that this answer has been of help in doing so."
)


def canaries(items: Sequence[Item], count: int = 10, seed: int = 0) -> dict[str, tuple[Item, ...]]:
    """Items by kind, made of `count` of the given ones.

    Those are drawn from the half with the longer references, which lose something when truncated.
    Raises UserError where all items are about one image, so that nothing can be shuffled.
    """
    rng = random.Random(seed)
    longer = sorted(items, key=lambda item: (-len(item.reference), item.id))
    longer = longer[: max(count, len(items) // 2)]
    chosen = rng.sample(longer, min(count, len(longer)))
    answers: dict[str, Callable[[Item], str]] = {
        "reference": lambda item: item.reference,
        "empty": lambda item: "",
        "truncated": lambda item: _first_quarter(item.reference),
        "padded": lambda item: item.reference + _FILLER,
        "shuffled": lambda item: _of_another_image(item, items, rng),
    }
    return {
        kind: tuple(
            replace(item, id=f"canary: {kind} {item.id}", candidate=answer(item)) for item in chosen
        )
        for kind, answer in answers.items()
    }


def shares(kinds: Mapping[str, Sequence[Item]], judgement: Judgement) -> dict[str, float]:
    """By kind, the share of comparisons that the reference wins."""
    lost = (0.0, 1.0)
    return {
        kind: float(np.mean([1 - preference(judgement.marks.get(i.id, lost)) for i in items]))
        for kind, items in kinds.items()
    }


def failures(judge: str, won: Mapping[str, float]) -> list[str]:
    """A sentence for each kind that the judge does not rank as it must; any of them voids it.

    won: as `shares` gives them.
    """
    return [
        f"{judge} is void as a judge: the reference wins {won[kind]:.0%} of comparisons with "
        f"{'itself' if kind == 'reference' else f'a {kind} answer'}, not {low:.0%} to {high:.0%}"
        for kind, (low, high) in BOUNDS.items()
        if not low <= won[kind] <= high
    ]


def _first_quarter(answer: str) -> str:
    words = answer.split()
    return " ".join(words[: max(1, len(words) // 4)])


def _of_another_image(item: Item, items: Sequence[Item], rng: random.Random) -> str:
    others = [other.reference for other in items if other.cluster != item.cluster]
    if not others:
        raise UserError("canaries need items about two images at least: judge more questions")
    return rng.choice(others)
