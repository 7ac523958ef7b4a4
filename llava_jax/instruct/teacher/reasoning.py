"""Complex reasoning from symbols: questions that take a step beyond looking, with the step shown.

Each function returns one turn, or None where the scene does not settle its question.
"""

import random
from collections.abc import Callable
from itertools import combinations

from llava_jax.instruct.facts.image import (
    label_counts,
    lies,
    relation_facts,
    single_entities,
    sure_counts,
)
from llava_jax.instruct.nouns import (
    ASKABLE_CATEGORIES,
    inventory,
    noun,
    number,
    plural,
    sentence,
)
from llava_jax.instruct.scene import Entity, Scene
from llava_jax.instruct.turns import Turn

MUCH_LARGER = 1.5  # ratio of box areas from which "larger" is certain


def _categories(scene: Scene) -> dict[str, dict[str, int]]:
    """Counts by category and label; nothing where a crowd or an uncategorised thing spoils it."""
    grouped: dict[str, dict[str, int]] = {}
    for entity in scene.entities:
        category = entity.attributes.get("category")
        if entity.crowd or category is None:
            return {}
        labels = grouped.setdefault(category, {})
        labels[entity.label] = labels.get(entity.label, 0) + 1
    return grouped


def dominant_category(scene: Scene, rng: random.Random) -> Turn | None:
    """Which sort of thing is most frequent, shown by the counts of all sorts."""
    grouped = _categories(scene)
    totals = sorted(
        ((sum(labels.values()), name) for name, labels in grouped.items()), reverse=True
    )
    if not scene.exhaustive.everything or len(totals) < 2 or totals[0][0] == totals[1][0]:
        return None
    most, second = (name for _, name in totals[:2])
    if not ASKABLE_CATEGORIES.issuperset((most, second)):
        return None
    return Turn(
        rng.choice(
            (
                "Which sort of thing does this image have most of, and how can you tell?",
                "If you had to name the theme of the image in one word, what would it be and why?",
            )
        ),
        f"{sentence(f'the theme is {plural(most)}')} "
        f"{sentence(f'there are {number(totals[0][0])} of them, {inventory(grouped[most])}')} "
        f"{sentence(f'of the next sort, {plural(second)}, I count only {number(totals[1][0])}')}",
    )


def compare_counts(scene: Scene, rng: random.Random) -> Turn | None:
    """Whether there is more of one label than of another."""
    pairs = list(combinations(sure_counts(scene).items(), 2))
    if not pairs:
        return None
    pair = list(rng.choice(pairs))
    rng.shuffle(pair)
    (first, n_first), (second, n_second) = pair
    question = f"Are there more {plural(first)} than {plural(second)}?"
    both = " and ".join(
        f"{number(count)} {noun(label) if count == 1 else plural(label)}" for label, count in pair
    )
    if n_first == n_second:
        return Turn(question, f"No, I count {both}, so there are as many of one as of the other.")
    more, verdict = (first, "Yes") if n_first > n_second else (second, "No")
    return Turn(question, f"{verdict}, I count {both}, so there are more {plural(more)}.")


def first_on_the_way(scene: Scene, rng: random.Random) -> Turn | None:
    """Which of two things comes first when the image is crossed from the left."""
    sides = [fact for fact in relation_facts(scene) if fact.form == "side"]
    if not sides:
        return None
    fact = rng.choice(sides)
    one, two = noun(fact.subject), noun(fact.other)
    first, second = (one, two) if fact.truth == "left" else (two, one)
    return Turn(
        f"An ant crosses the image from left to right. Does it reach the {one} or the {two} first, "
        "and why?",
        f"It reaches the {first} first, because the {first} is to the left of the {second}.",
    )


def at_the_edge(scene: Scene, rng: random.Random) -> Turn | None:
    """What lies at one edge of a complete scene."""
    singles = single_entities(scene)
    if not scene.exhaustive.everything or len(scene.entities) < 2:
        return None
    edges = []
    for side in ("left", "right"):
        for one in singles:
            rest = [other for other in scene.entities if other is not one]
            if all(lies(one.box, side, other.box) for other in rest):
                edges.append((side, noun(one.label)))
    if not edges:
        return None
    side, label = rng.choice(edges)
    return Turn(
        f"If you entered the image from the {side}, what would you meet first, and why?",
        f"The {label}, because everything else lies further to the {_opposite(side)}.",
    )


def takes_most_room(scene: Scene, rng: random.Random) -> Turn | None:
    """Which of two singly named things covers more of the image."""
    clear = [
        (large, small)
        for large in single_entities(scene)
        for small in single_entities(scene)
        if large.box.area >= MUCH_LARGER * small.box.area
    ]
    if not clear:
        return None
    large, small = (noun(entity.label) for entity in rng.choice(clear))
    pair = [large, small]
    rng.shuffle(pair)
    return Turn(
        f"A sticker must hide either the {pair[0]} or the {pair[1]}. Which needs the larger one?",
        f"The {large} needs the larger sticker, as it covers more of the image than the {small}.",
    )


def take_one_away(scene: Scene, rng: random.Random) -> Turn | None:
    """How many things remain in a complete scene when one is removed."""
    if not scene.exhaustive.everything or not scene.entities:
        return None
    gone: Entity = rng.choice(scene.entities)
    counts = label_counts(scene)
    if sum(counts.values()) != len(scene.entities):
        return None
    counts[gone.label] -= 1
    remaining = {label: count for label, count in counts.items() if count}
    whose = (
        f"the {noun(gone.label)}"
        if gone.label not in remaining
        else f"one of the {plural(gone.label)}"
    )
    question = f"Imagine that {whose} is taken out of the image. What is left?"
    if not remaining:
        return Turn(
            question, f"Nothing is left, because the {noun(gone.label)} is the only object."
        )
    total = sum(remaining.values())
    verb = "object is" if total == 1 else "objects are"
    return Turn(
        question,
        f"{sentence(f'{number(total)} {verb} left: {inventory(remaining)}')} There were "
        f"{number(total + 1)} at first, and one less makes {number(total)}.",
    )


def _opposite(side: str) -> str:
    return "right" if side == "left" else "left"


REASONINGS: tuple[Callable[[Scene, random.Random], Turn | None], ...] = (
    dominant_category,
    compare_counts,
    first_on_the_way,
    at_the_edge,
    takes_most_room,
    take_one_away,
)
