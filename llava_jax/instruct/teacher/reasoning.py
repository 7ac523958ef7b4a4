"""Complex reasoning from symbols: questions that take a step beyond looking, with the step shown.

Each function returns one question, or None where the scene does not settle it.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from llava_jax.instruct.facts.image import (
    MOST_COUNTED,
    label_counts,
    lies,
    relation_facts,
    single_entities,
    sure_counts,
)
from llava_jax.instruct.nouns import (
    ASKABLE_CATEGORIES,
    NUMBERS,
    inventory,
    noun,
    number,
    plural,
    sentence,
)
from llava_jax.instruct.scene import Entity, Scene
from llava_jax.instruct.turns import Turn

MUCH_LARGER = 1.5  # ratio of box areas from which "larger" is certain

Place = Literal["after", "before"]  # of the reasoning: after the answer, or before it


@dataclass(frozen=True)
class Reasoned:
    """A question, its answer and the reasoning, of whole sentences that stand in either order.

    truth: the word that the answer comes down to, by the scene's facts. options: the words between
    which the question leaves a choice, in its order; none where any label may be the truth.
    cue: a word that the answer's sentence has and the reasoning lacks; "" if the truth itself is.
    """

    question: str
    answer: str
    reasoning: str
    truth: str
    options: tuple[str, ...] = ()
    cue: str = ""

    def turn(self, reasoning: Place) -> Turn:
        """As it is taught, the reasoning after or before the answer."""
        parts = (self.answer, self.reasoning)
        return Turn(self.question, " ".join(parts if reasoning == "after" else reversed(parts)))


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


def dominant_category(scene: Scene, rng: random.Random) -> Reasoned | None:
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
    return Reasoned(
        rng.choice(
            (
                "Which sort of thing does this image have most of, and how can you tell?",
                "If you had to name the theme of the image in one word, what would it be and why?",
            )
        ),
        f"The theme is {plural(most)}.",
        f"Of {plural(most)} I count {number(totals[0][0])}, {inventory(grouped[most])}. "
        f"Of the next sort, {plural(second)}, I count only {number(totals[1][0])}.",
        truth=most,
        options=tuple(sorted(ASKABLE_CATEGORIES)),
        cue="theme",
    )


def compare_counts(scene: Scene, rng: random.Random) -> Reasoned | None:
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
        truth, answer = "no", f"No, there are as many {plural(first)} as {plural(second)}."
    elif n_first > n_second:
        truth, answer = "yes", f"Yes, there are more {plural(first)} than {plural(second)}."
    else:
        truth, answer = "no", f"No, there are more {plural(second)} than {plural(first)}."
    return Reasoned(question, answer, f"I count {both}.", truth, options=("yes", "no"))


def first_on_the_way(scene: Scene, rng: random.Random) -> Reasoned | None:
    """Which of two things comes first when the image is crossed from the left."""
    sides = [fact for fact in relation_facts(scene) if fact.form == "side"]
    if not sides:
        return None
    fact = rng.choice(sides)
    pair = (fact.subject, fact.other)
    first, second = pair if fact.truth == "left" else reversed(pair)
    return Reasoned(
        f"An ant crosses the image from left to right. Does it reach the {noun(pair[0])} or the "
        f"{noun(pair[1])} first, and why?",
        f"The ant reaches the {noun(first)} first.",
        f"The {noun(first)} is to the left of the {noun(second)}.",
        truth=first,
        options=pair,
        cue="first",
    )


def at_the_edge(scene: Scene, rng: random.Random) -> Reasoned | None:
    """What lies at one edge of a complete scene."""
    singles = single_entities(scene)
    if not scene.exhaustive.everything or len(scene.entities) < 2:
        return None
    edges = []
    for side in ("left", "right"):
        for one in singles:
            rest = [other for other in scene.entities if other is not one]
            if all(lies(one.box, side, other.box) for other in rest):
                edges.append((side, one.label))
    if not edges:
        return None
    side, label = rng.choice(edges)
    return Reasoned(
        f"If you entered the image from the {side}, what would you meet first, and why?",
        f"You would meet the {noun(label)} first.",
        f"Nothing lies further to the {side} than the {noun(label)}.",
        truth=label,
        cue="first",
    )


def takes_most_room(scene: Scene, rng: random.Random) -> Reasoned | None:
    """Which of two singly named things covers more of the image."""
    clear = [
        (large, small)
        for large in single_entities(scene)
        for small in single_entities(scene)
        if large.box.area >= MUCH_LARGER * small.box.area
    ]
    if not clear:
        return None
    large, small = (entity.label for entity in rng.choice(clear))
    pair = [large, small]
    rng.shuffle(pair)
    return Reasoned(
        f"A sticker must hide either the {noun(pair[0])} or the {noun(pair[1])}. Which needs the "
        "larger one?",
        f"The {noun(large)} needs the larger sticker.",
        f"The {noun(large)} covers more of the image than the {noun(small)}.",
        truth=large,
        options=tuple(pair),
        cue="sticker",
    )


def take_one_away(scene: Scene, rng: random.Random) -> Reasoned | None:
    """How many things remain in a complete scene when one is removed."""
    if not scene.exhaustive.everything or not 0 < len(scene.entities) <= MOST_COUNTED:
        return None
    gone: Entity = rng.choice(scene.entities)
    counts = label_counts(scene)
    if sum(counts.values()) != len(scene.entities):
        return None
    counts[gone.label] -= 1
    remaining = {label: count for label, count in counts.items() if count}
    total = sum(remaining.values())
    whose = (
        f"the {noun(gone.label)}"
        if gone.label not in remaining
        else f"one of the {plural(gone.label)}"
    )
    if remaining:
        verb = "object is" if total == 1 else "objects are"
        answer = sentence(f"{number(total)} {verb} left")
        why = f"What remains is {inventory(remaining)}."
    else:
        answer, why = "None is left.", f"The {noun(gone.label)} is the only object in the image."
    return Reasoned(
        f"Imagine that {whose} is taken out of the image. How many objects are left, and which?",
        answer,
        why,
        truth=NUMBERS[total],
        options=NUMBERS,
        cue="left",
    )


REASONINGS: Mapping[str, Callable[[Scene, random.Random], Reasoned | None]] = {
    "most frequent sort": dominant_category,
    "comparison of counts": compare_counts,
    "first on the way": first_on_the_way,
    "edge": at_the_edge,
    "most room": takes_most_room,
    "one less": take_one_away,
}
