"""Scenes made wrong in one respect, and which claims that makes false by construction.

What is applicable is decided here from the two scenes' own numbers and places, not by the rules.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llava_jax.instruct.grounding.attributes import COLORS
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.mentions import Mention, labels_of, named, text_mentions
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.scene import Box, Entity, Scene
from llava_jax.instruct.turns import Turn

_ALL = r"(?:there (?:is|are)|i count) (?:only )?{} ?(?:[.,;]|and\b|in the|visible)"


@dataclass(frozen=True)
class Corruption:
    """`falsifies`: whether a claim that the first scene supports is false of the second."""

    name: str
    rules: tuple[str, ...]
    corrupted: Callable[[Scene, random.Random], Scene]
    falsifies: Callable[[Scene, Scene, Finding, Turn], bool]


def shuffled_labels(scene: Scene, rng: random.Random) -> Scene:
    """Every label becomes one that the scene does not have."""
    present = sorted({entity.label for entity in scene.entities})
    absent = [label for label in labels_of(scene) if label not in present]
    new = dict(zip(present, rng.sample(absent, len(present)), strict=True))
    return _with(scene, [_relabelled(entity, new[entity.label]) for entity in scene.entities])


def swapped_counts(scene: Scene, rng: random.Random) -> Scene:
    """The rarest label gets the number of the most frequent, and so on; equal ones miss by one."""
    counts = Counter(entity.label for entity in scene.entities)
    order = [label for label, _ in counts.most_common()]
    entities = []
    for label, other in zip(order, reversed(order), strict=True):
        old, new = counts[label], counts[other]
        if old == new:
            new = old - 1 if old > 1 else 2
        own = [entity for entity in scene.entities if entity.label == label]
        entities += [own[i % old] for i in range(new)]
    return _with(scene, entities)


def mirrored(scene: Scene, rng: random.Random) -> Scene:
    """Left becomes right, and top becomes bottom."""

    def turned(box: Box) -> Box:
        return Box(1 - box.x2, 1 - box.y2, 1 - box.x1, 1 - box.y1)

    return _with(scene, [replace(entity, place=turned(entity.box)) for entity in scene.entities])


def recolored(scene: Scene, rng: random.Random) -> Scene:
    """Every label's colour, and the background's, becomes another one."""

    def other(color: str) -> str:
        return rng.choice(sorted(COLORS - {color}))

    new = {e.label: other(e.attributes["color"]) for e in scene.entities if "color" in e.attributes}
    entities = [
        replace(entity, attributes={**entity.attributes, "color": new[entity.label]})
        if entity.label in new
        else entity
        for entity in scene.entities
    ]
    attributes = {key: other(value) for key, value in scene.attributes.items()}
    return replace(_with(scene, entities), attributes=attributes)


def _with(scene: Scene, entities: Sequence[Entity]) -> Scene:
    return replace(scene, entities=tuple(entities))


def _relabelled(entity: Entity, label: str) -> Entity:
    known = {"category": KINDS[label].category} if label in KINDS else {}
    return replace(entity, label=label, attributes={**entity.attributes, **known})


def _names_nothing(before: Scene, after: Scene, finding: Finding, turn: Turn) -> bool:
    """An object's closed word (a dog, not an animal) has nothing left; a "no" has something."""
    mention = _mentions(before, finding)[-1]
    here = any(entity.label in _labels(mention) for entity in after.entities)
    if finding.rule == "counts":
        return finding.evidence.startswith("0 ") and mention.phrase.determiner == "no" and here
    return mention.meaning is not None and mention.meaning.closed and not here


def _miscounts(before: Scene, after: Scene, finding: Finding, turn: Turn) -> bool:
    """Fewer than claimed; or more, where the claim is of all."""
    mention = _mentions(before, finding)[-1]
    quantity = mention.phrase.quantity
    if quantity is None or not quantity.exact or (mention.meaning and not mention.meaning.closed):
        return False
    old, new = (len(_spoken_of(scene, mention)) for scene in (before, after))
    of_all = turn.question.lower().startswith("how many") or re.search(
        _ALL.format(re.escape(finding.text)), turn.answer, re.IGNORECASE
    )
    return quantity.number == old and (new < old or (new > old and bool(of_all)))


def _misplaces(before: Scene, after: Scene, finding: Finding, turn: Turn) -> bool:
    """A side that is claimed of things that are the only ones of their label."""
    sided = re.search(r"\b(left|right|above|below|top|bottom)\b", finding.text)
    mentions = [m for m in _mentions(before, finding) if m.meaning is not None]
    return bool(sided) and all(len(_spoken_of(before, m)) == 1 for m in mentions)


def _recolors(before: Scene, after: Scene, finding: Finding, turn: Turn) -> bool:
    return True  # of each label all change, and every change is to a colour it did not have


def _mentions(scene: Scene, finding: Finding) -> list[Mention]:
    """What a finding's words mention; the second of "a fork and knife" has lost its article."""
    labels = labels_of(scene)
    return text_mentions(finding.text, labels) or text_mentions(f"a {finding.text}", labels)


def _labels(mention: Mention) -> frozenset[str]:
    return mention.meaning.labels if mention.meaning is not None else frozenset()


def _spoken_of(scene: Scene, mention: Mention) -> Sequence[Entity]:
    return scene.entities if mention.meaning is None else named(scene, mention)


CORRUPTIONS = (
    Corruption("shuffled labels", ("objects", "counts"), shuffled_labels, _names_nothing),
    Corruption("swapped counts", ("counts",), swapped_counts, _miscounts),
    Corruption("mirrored boxes", ("positions",), mirrored, _misplaces),
    Corruption("other colours", ("attributes",), recolored, _recolors),
)
