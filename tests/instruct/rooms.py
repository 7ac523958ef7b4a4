"""Rooms for tests: boxes in metres, z up, and the same rooms seen in a mirror."""

from dataclasses import replace

from llava_jax.instruct.scene import Cuboid, Entity, Exhaustive, Frame, Point, Scene

Thing = tuple[str, Point, Point]  # label, centre, size

# Seen from the door (looking along +y): sofa left, lamp on a desk right, window far ahead.
STUDY: tuple[Thing, ...] = (
    ("floor", (0.0, 2.5, -0.05), (6.0, 7.0, 0.1)),
    ("door", (0.0, -0.8, 1.0), (0.9, 0.1, 2.0)),
    ("sofa", (-2.0, 2.5, 0.4), (0.9, 2.0, 0.8)),
    ("desk", (2.0, 2.5, 0.375), (0.8, 1.6, 0.75)),
    ("lamp", (2.0, 2.9, 1.0), (0.3, 0.3, 0.5)),
    ("screen", (0.2, 2.5, 0.95), (1.2, 0.1, 1.9)),
    ("plant", (0.2, 4.5, 0.5), (0.5, 0.5, 1.0)),
    ("window", (0.0, 5.9, 1.5), (1.5, 0.1, 1.2)),
)


def room(*things: Thing, **changes) -> Scene:
    """A room of things, whose ids are their numbers from "0" on."""
    entities = tuple(
        Entity(label, Cuboid(center, size), id=str(number))
        for number, (label, center, size) in enumerate(things)
    )
    fields = {
        "id": "room",
        "source": "test",
        "license": "none",
        "modality": "space",
        "frame": Frame(up="+z"),
        "entities": entities,
        "exhaustive": Exhaustive(affordances=("open", "sit on")),
    }
    return Scene(**(fields | changes))


def named(scene: Scene, label: str) -> Entity:
    (entity,) = (entity for entity in scene.entities if entity.label == label)
    return entity


def mirrored(scene: Scene) -> Scene:
    """The room with left and right exchanged (x negated)."""

    def flip(point: Point) -> Point:
        return -point[0], point[1], point[2]

    def mirror(box: Cuboid) -> Cuboid:
        first, second, third = map(flip, box.axes)
        return Cuboid(flip(box.center), box.size, (first, second, third))

    entities = tuple(replace(e, place=mirror(e.cuboid)) for e in scene.entities)
    return replace(scene, entities=entities)
