"""Items and judgements for the tests."""

from collections.abc import Sequence

from llava_jax.evaluation.judge.judgement import ORDERS, Item, Judgement, Marks, Verdict


def made_items(count: int, category: str = "conv") -> list[Item]:
    """Items of distinct answers, two about an image; references are of 20 words."""
    return [
        Item(
            id=str(i),
            context=f"Scene {i // 2}.",
            question=f"What is in picture {i}?",
            reference=f"Truth {i}: " + "a true and full answer " * 4,
            candidate=f"Guess {i}.",
            cluster=str(i // 2),
            category=category,
        )
        for i in range(count)
    ]


def judged(
    items: Sequence[Item], *orders: Sequence[Marks | None], judge: str = "made:judge"
) -> Judgement:
    """orders: by order (the reference first, then second), the marks of all items."""
    verdicts = tuple(
        Verdict(item.id, order, "", marks[n])
        for n, item in enumerate(items)
        for order, marks in zip(ORDERS, orders, strict=False)
    )
    return Judgement(judge, tuple(items), verdicts)
