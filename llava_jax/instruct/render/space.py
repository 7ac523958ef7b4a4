"""A room as the text that a text-only teacher reads instead of standing in it."""

from collections import Counter
from itertools import permutations

import numpy as np

from llava_jax.instruct.facts import space
from llava_jax.instruct.facts.viewpoint import Viewpoint, chosen_viewpoint, hides, outline, place
from llava_jax.instruct.render.rendering import Budget, Rendered
from llava_jax.instruct.scene import Cuboid, Entity, Frame, Point, Scene

_SIDES = {"left": "left", "right": "right", "ahead": "ahead", "behind": "behind the viewer"}


def render_symbols(scene: Scene, budget: int | None = None) -> Rendered:
    """The frame in words; things with places, sizes, states and uses; the view; how things relate.

    Of two chairs the first is called "chair 1". Under a budget (estimated tokens) things come
    first, then what is seen from one stated viewpoint (`chosen_viewpoint`), then relations, and
    last distances, which follow from the places.
    """
    room = Budget(budget)
    names = entity_names(scene)
    lines = room.fit(scene.captions, "captions")
    lines += room.fit([frame_words(scene.frame)] if scene.frame else [], "notes on the frame")
    things = [
        f"{name}: {_told(scene, thing)}"
        for name, thing in zip(names.values(), scene.entities, strict=True)
    ]
    lines += room.fit(things, "things", "Things:")
    view = chosen_viewpoint(scene) if scene.frame else None
    if view is not None:
        lines += room.fit(_seen(scene, view, names), "views", f"Seen {view.words}:")
    lines += room.fit(_relations(scene, names), "relations", "Relations:")
    lines += room.fit(_distances(scene), "distances", "Distances:")
    return room.rendered(lines)


def frame_words(frame: Frame) -> str:
    """ "Coordinates are metres, right-handed; up is +z.\""""
    ways = {"up": frame.up, "forward": frame.forward, "right": frame.right}
    known = ", ".join(f"{way} is {direction}" for way, direction in ways.items() if direction)
    return f"Coordinates (x, y, z) are metres, {frame.handedness}-handed; {known}."


def entity_names(scene: Scene) -> dict[str, str]:
    """What to call each thing by its id: the label, with a number where several bear it."""
    counts = Counter(entity.label for entity in scene.entities)
    numbers: Counter[str] = Counter()
    names = {}
    for entity in scene.entities:
        numbers[entity.label] += 1
        several = counts[entity.label] > 1
        names[entity.id] = f"{entity.label} {numbers[entity.label]}" if several else entity.label
    return names


def properties(entity: Entity) -> list[str]:
    """Attributes, states and affordances, each in words."""
    told = [f"{kind} {value}" for kind, value in entity.attributes.items()]
    if entity.states:
        told.append(f"state {', '.join(entity.states)}")
    if entity.affordances:
        told.append(f"allows {', '.join(entity.affordances)}")
    return told


def point_words(point: Point) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in point) + ")"


def _told(scene: Scene, entity: Entity) -> str:
    told = properties(entity)
    if isinstance(entity.place, Cuboid):
        vertical = np.abs(np.array(entity.cuboid.axes) @ space.up(scene))
        wide, deep = (entity.cuboid.size[side] for side in np.sort(np.argsort(vertical)[:2]))
        high = space.height(scene, entity)
        size = f"{wide:.2f} x {deep:.2f} m, {high:.2f} m high"
        told.insert(0, f"centre {point_words(entity.position)}, {size}")
    return "; ".join(told) or "place unknown"


def _seen(scene: Scene, view: Viewpoint, names: dict[str, str]) -> list[str]:
    """What is on each side, the nearest first, then what hides what."""
    seen = [(o.distance, e) for e in space.placed(scene) if (o := outline(view, e)) is not None]
    things = [
        e for _, e in sorted(seen, key=lambda pair: pair[0]) if e.label not in space.STRUCTURE
    ]
    lines = []
    for side, words in _SIDES.items():
        there = [names[thing.id] for thing in things if place(view, thing) == side]
        if there:
            lines.append(f"{words}, nearest first: {', '.join(there)}")
    hidden = [(a, b) for a, b in permutations(things, 2) if hides(view, a, b)]
    return lines + [f"{names[a.id]} hides most of {names[b.id]}" for a, b in hidden]


def _relations(scene: Scene, names: dict[str, str]) -> list[str]:
    """Those that the scene states, then what rests on what by the boxes."""
    stated = [f"{names[r.subject]} {r.predicate} {names[r.object]}" for r in scene.relations]
    known = {(relation.subject, relation.object) for relation in scene.relations}
    resting = space.support_pairs(scene) if scene.frame else []
    return stated + [
        f"{names[on.id]} rests on {names[below.id]}"
        for on, below in resting
        if (on.id, below.id) not in known
    ]


def _distances(scene: Scene) -> list[str]:
    """From each thing that its name singles out to what is certainly nearest and farthest."""
    singles = space.single_entities(scene)
    outermost = {"nearest": space.is_nearest, "farthest": space.is_farthest}
    return [
        f"{which} to the {one.label}: the {other.label}, "
        f"{space.surface_distance(one, other):.1f} m between surfaces, "
        f"{space.center_distance(one, other):.1f} m between centres"
        for one in singles
        for which, is_so in outermost.items()
        for other in singles
        if other is not one and is_so(scene, other, one)
    ]
