"""Answers whose worth is known, put to a judge among the others: one who fails there is no judge.

The reference's answer is compared with itself and with worse things made of it. `LEAST` states the
share of each kind that a judge must rank rightly. The reference wins against a worse answer: over
both orders, an even one counting half. It is even with itself: in each verdict alone, since the
orders show the same prompt. What cannot be read is not right.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.judge.judgement import Item, Judgement, preference

LEAST = {
    "reference": 0.5,  # the same answer twice; judges with a weakness for a place are averaged
    "empty": 0.95,
    "truncated": 0.8,
    "padded": 0.3,  # words that say nothing must not win; even is good enough, up to noise
    "shuffled": 0.9,  # the reference's answer to a question about another image
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


def ranked_rightly(kinds: Mapping[str, Sequence[Item]], judgement: Judgement) -> dict[str, float]:
    """By kind, the share that the judge ranks rightly."""
    lost = (0.0, 1.0)
    shares = {
        kind: float(np.mean([1 - preference(judgement.marks.get(i.id, lost)) for i in items]))
        for kind, items in kinds.items()
    }
    with_itself = judgement.of(kinds["reference"]).verdicts
    even = [v.marks is not None and v.marks[0] == v.marks[1] for v in with_itself]
    return shares | {"reference": float(np.mean(even))}


def failures(judge: str, shares: Mapping[str, float]) -> list[str]:
    """A sentence for each kind that the judge ranks wrongly too often; any of them voids it.

    shares: as `ranked_rightly` gives them.
    """
    return [
        f"{judge} is void as a judge: it ranks {shares[kind]:.0%} of the {kind} answers rightly "
        f"and must rank {least:.0%}"
        for kind, least in LEAST.items()
        if shares[kind] < least
    ]


def _first_quarter(answer: str) -> str:
    words = answer.split()
    return " ".join(words[: max(1, len(words) // 4)])


def _of_another_image(item: Item, items: Sequence[Item], rng: random.Random) -> str:
    others = [other.reference for other in items if other.cluster != item.cluster]
    if not others:
        raise UserError("canaries need items about two images at least: judge more questions")
    return rng.choice(others)
