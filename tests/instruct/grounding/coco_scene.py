"""A scene of COCO's labels for the tests of the rules: a man, three dogs, a couch and a bicycle."""

from collections.abc import Sequence

from llava_jax.instruct.grounding.check import RULES
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.importers.coco_labels import COCO_LABELS
from llava_jax.instruct.scene import Entity, Exhaustive, Scene
from llava_jax.instruct.turns import Turn
from tests.instruct.drawn import scene_of

SCENE = scene_of(
    ("person", 0.2, 0.5),
    ("dog", 0.8, 0.5),
    ("dog", 0.8, 0.8),
    ("dog", 0.5, 0.2),
    ("couch", 0.5, 0.6),
    ("bicycle", 0.3, 0.3),
    texts=("A room with a lamp.",),
    exhaustive=Exhaustive(COCO_LABELS),
)


def with_crowd(label: str) -> Scene:
    crowd = Entity(label, SCENE.entities[0].box, crowd=True)
    return scene_of(exhaustive=Exhaustive(COCO_LABELS), entities=(*SCENE.entities, crowd))


def judged(rule: str, answer: str, question: str = "Describe it.", scene: Scene = SCENE) -> str:
    """The worst verdict of a rule on the answer; "" where it finds no claim."""
    return worst(RULES[rule](scene, [Turn(question, answer)]))


def worst(findings: Sequence[Finding]) -> str:
    order = ("", "pass", "unknown", "warn", "fail")
    return max((finding.verdict for finding in findings), key=order.index, default="")
