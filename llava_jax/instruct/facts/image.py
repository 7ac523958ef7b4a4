"""What can be asked of a scene with one certain answer, by its boxes, labels and attributes.

The rule-based teacher words these facts as training turns and the probes word them as test
questions, so a training answer and a test truth can never disagree.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from llava_jax.instruct.nouns import ASKABLE_CATEGORIES
from llava_jax.instruct.scene import Box, Entity, Scene

CLEAR = 0.15  # centres at least this far apart (share of the image side): "left of" is certain
LEVEL = 0.06  # centres at most this far apart: certainly not "left of"
MIDDLE = (0.4, 0.6)  # a centre between them is neither left nor right, neither top nor bottom
MOST_COUNTED = 10  # people and annotators lose count beyond it

# direction -> (axis, sign of the step away from the reference)
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}


@dataclass(frozen=True)
class Fact:
    """A question's form and words with its truth, e.g. Fact("left", "dog", "apple").

    Forms: presence (truth yes | no), left | right | above | below (what is there of `subject`;
    truth a label), side (truth left | right, of `other`), height (truth above | below, of `other`),
    category (truth the label of the only one of category `subject`), color (of the only one of
    category or label `subject`), background (its colour),
    count (of label `subject`), total (of everything); counts are digits.
    """

    form: str
    subject: str
    truth: str
    other: str = ""


def lies(a: Box, direction: str, b: Box) -> bool | None:
    """Whether `a` lies in that direction from `b`; None where people could disagree."""
    axis, sign = DIRECTIONS[direction]
    a_center, b_center = a.center[axis], b.center[axis]
    gap = sign * (a_center - b_center)
    if gap <= LEVEL:
        return False
    a_low, a_high = a.span(axis)
    b_low, b_high = b.span(axis)
    apart = not a_low < b_center < a_high and not b_low < a_center < b_high
    return True if gap >= CLEAR and apart else None


def label_counts(scene: Scene) -> dict[str, int]:
    """Number of entities of each label, in reading order; labels that hold a crowd are left out."""
    crowded = {entity.label for entity in scene.entities if entity.crowd}
    return Counter(e.label for e in reading_order(scene) if e.label not in crowded)


def sure_counts(scene: Scene) -> dict[str, int]:
    """Of the labels that are annotated wherever they appear: there are no more of them."""
    exhaustive = set(scene.exhaustive.labels)
    return {label: n for label, n in label_counts(scene).items() if label in exhaustive}


def reading_order(scene: Scene) -> list[Entity]:
    """Entities column by column from the left, each column from the top.

    A column takes in centres up to CLEAR right of its first, so that jitter does not reorder it.
    """
    columns: list[list[Entity]] = []
    for entity in sorted(scene.entities, key=lambda e: e.box.center):
        if columns and entity.box.center[0] - columns[-1][0].box.center[0] <= CLEAR:
            columns[-1].append(entity)
        else:
            columns.append([entity])
    return [e for column in columns for e in sorted(column, key=lambda e: e.box.center[1])]


def single_entities(scene: Scene) -> list[Entity]:
    """Entities whose label names them alone, in reading order."""
    counts = label_counts(scene)
    return [entity for entity in reading_order(scene) if counts.get(entity.label) == 1]


def presence_facts(scene: Scene, labels: Iterable[str]) -> list[Fact]:
    """One fact per label; labels about whose absence the annotation is silent are left out."""
    present = {entity.label for entity in scene.entities}
    known = present | set(scene.exhaustive.labels)
    return [
        Fact("presence", label, "yes" if label in present else "no")
        for label in labels
        if label in known
    ]


def position_facts(scene: Scene) -> list[Fact]:
    """What lies left of, right of, above and below each thing, where exactly one thing does.

    Only a complete scene has such facts: an unannotated thing could be a second answer.
    """
    if not scene.exhaustive.everything or any(entity.crowd for entity in scene.entities):
        return []
    facts = []
    for reference in single_entities(scene):
        others = [entity for entity in scene.entities if entity is not reference]
        for direction in DIRECTIONS:
            verdicts = [lies(entity.box, direction, reference.box) for entity in others]
            if None not in verdicts and verdicts.count(True) == 1:
                truth = others[verdicts.index(True)].label
                facts.append(Fact(direction, reference.label, truth))
    return facts


def relation_facts(scene: Scene) -> list[Fact]:
    """For each ordered pair of singly named things: on which side, and at which height, it lies."""
    facts = []
    for a, b in permutations(single_entities(scene), 2):
        for form, directions in (("side", ("left", "right")), ("height", ("above", "below"))):
            for direction in directions:
                if lies(a.box, direction, b.box):
                    facts.append(Fact(form, a.label, direction, b.label))
    return facts


def kind_facts(scene: Scene) -> list[Fact]:
    """Label and colour of the only entity of a category, and the colour of singly named things.

    "What color is the vehicle?" needs sight; "what color is the banana?" does not, and it is for
    the asker to leave such questions out.
    """
    by_category: dict[str, list[Entity]] = {}
    for entity in reading_order(scene):
        by_category.setdefault(entity.attributes.get("category", ""), []).append(entity)
    facts = []
    for category, members in by_category.items():
        only = members[0]
        if category in ASKABLE_CATEGORIES and len(members) == 1 and not only.crowd:
            facts.append(Fact("category", category, only.label))
            facts += _color_facts(category, only)
    for entity in single_entities(scene):
        facts += _color_facts(entity.label, entity)
    return facts


def _color_facts(subject: str, entity: Entity) -> list[Fact]:
    color = entity.attributes.get("color")
    return [Fact("color", subject, color)] if color else []


def background_facts(scene: Scene) -> list[Fact]:
    """The background's colour, where it is known."""
    color = scene.attributes.get("background")
    return [Fact("background", "", color)] if color else []


def count_facts(scene: Scene) -> list[Fact]:
    """How many there are of each label and, in a complete scene, of everything."""
    facts = [
        Fact("count", label, str(count))
        for label, count in sure_counts(scene).items()
        if count <= MOST_COUNTED
    ]
    crowded = any(entity.crowd for entity in scene.entities)
    if scene.exhaustive.everything and not crowded and 0 < len(scene.entities) <= MOST_COUNTED:
        facts.append(Fact("total", "", str(len(scene.entities))))
    return facts
