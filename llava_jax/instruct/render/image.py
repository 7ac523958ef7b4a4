"""An image as the text that a text-only teacher reads instead of it (LLaVA, section 3)."""

from collections import Counter
from collections.abc import Sequence

from llava_jax.instruct.render.rendering import Budget, Rendered
from llava_jax.instruct.scene import Box, Entity, Relation, Scene

# Attributes of the drawn scenes that only sort labels: "dog" already says "animal".
UNSAID_ATTRIBUTES = frozenset({"category"})


def render_box(box: Box) -> str:
    """ "[x1, y1, x2, y2]", at most three decimals."""
    corners = (box.x1, box.y1, box.x2, box.y2)
    return "[" + ", ".join(str(round(float(corner), 3)) for corner in corners) + "]"


def render_paper(scene: Scene, budget: int | None = None, boxes: bool = True) -> Rendered:
    """Captions one a line, a blank line, then `label: [x1, y1, x2, y2]` one entity a line.

    The released prompts give the conversation type captions only: `boxes=False`.
    """
    room = Budget(budget)
    lines = room.fit(scene.captions, "captions")
    if boxes:
        entities = [f"{entity.label}: {render_box(entity.box)}" for entity in scene.entities]
        lines += _section(room, scene.entities, entities)
    return room.rendered(lines)


def render_symbols(scene: Scene, budget: int | None = None) -> Rendered:
    """All that is known of the image: the paper's layout, and below it what COCO does not have.

    An entity's line also says its attributes and states ("dog (brown, wet): [...]"); text in the
    image, relations and regions follow under headings of their own. Without those the text is
    `render_paper`'s.
    """
    room = Budget(budget)
    lines = room.fit(scene.captions, "captions")
    whole = [f"{name}: {value}" for name, value in scene.attributes.items()]
    lines += room.fit(whole, "facts about the whole")
    entities = [f"{_described(entity)}: {render_box(entity.box)}" for entity in scene.entities]
    lines += _section(room, scene.entities, entities)
    read = [f'"{text}": {box}' for text, box in _placed(scene, "ocr")]
    lines += room.fit(read, "texts in the image", "\nText that can be read:")
    related = [_relation(scene, relation) for relation in scene.relations]
    lines += room.fit(related, "relations", "\nRelations:")
    regions = [f"{text}: {box}" for text, box in _placed(scene, "region")]
    lines += room.fit(regions, "regions", "\nRegions:")
    return room.rendered(lines)


def _section(room: Budget, entities: Sequence[Entity], lines: Sequence[str]) -> list[str]:
    """The entities' lines that find room, in the scene's order, below a blank line.

    The largest of each label goes before a second of any, and large before small.
    """
    seen: Counter[str] = Counter()
    rank: dict[int, tuple[int, float]] = {}
    for number in sorted(range(len(entities)), key=lambda n: -entities[n].box.area):
        label = entities[number].label
        rank[number] = (seen[label], -entities[number].box.area)
        seen[label] += 1
    order = sorted(rank, key=lambda n: rank[n])
    taken = room.fit([lines[number] for number in order], "objects")
    kept = [lines[number] for number in sorted(order[: len(taken)])]
    return ["", *kept] if kept else []


def _described(entity: Entity) -> str:
    known = [v for k, v in entity.attributes.items() if k not in UNSAID_ATTRIBUTES]
    words = [*known, *entity.states, *(["a group, not counted"] if entity.crowd else [])]
    return f"{entity.label} ({', '.join(words)})" if words else entity.label


def _relation(scene: Scene, relation: Relation) -> str:
    ends = (scene.entity(relation.subject), scene.entity(relation.object))
    return f" {relation.predicate} ".join(_named(scene, end) for end in ends)


def _named(scene: Scene, entity: Entity) -> str:
    """By its label, with the box where another has the same label."""
    alone = sum(other.label == entity.label for other in scene.entities) == 1
    return entity.label if alone else f"{entity.label} {render_box(entity.box)}"


def _placed(scene: Scene, kind: str) -> list[tuple[str, str]]:
    """Texts of a kind with their boxes, the largest first."""
    texts = [(text.text, text.box) for text in scene.texts if text.kind == kind and text.box]
    return [(text, render_box(box)) for text, box in sorted(texts, key=lambda t: -t[1].area)]
