"""A scene: what is known in symbols of an image, a video, a room or a world to act in.

One type for all of them: what a modality lacks stays empty. Teachers, checks and probes read
scenes and never pixels; importers make them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Modality = Literal["image", "video", "space", "embodied"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

# "caption": of the whole. "region": of the box. "ocr": read in the box. "narration": of the
# interval. "instruction": what somebody shall do here.
TextKind = Literal["caption", "region", "ocr", "narration", "instruction"]
Direction = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """Corners as fractions of the image's width and height: x to the right, y downwards, 0 to 1."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not (0 <= self.x1 < self.x2 <= 1 and 0 <= self.y1 < self.y2 <= 1):
            raise ValueError(f"not a box inside the unit square: {self}")

    @property
    def center(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def area(self) -> float:
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    def span(self, axis: int) -> tuple[float, float]:
        """The interval that the box covers on axis 0 (x) or 1 (y)."""
        return (self.x1, self.x2) if axis == 0 else (self.y1, self.y2)


@dataclass(frozen=True)
class Cuboid:
    """A box in metres, in the scene's `frame`.

    axes: unit vectors of its own three sides, in the order of `size`; the frame's axes where it is
      not turned.
    """

    center: Point
    size: Point
    axes: tuple[Point, Point, Point] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        if min(self.size) <= 0:
            raise ValueError(f"a side of a cuboid must be longer than 0 m: {self.size}")


@dataclass(frozen=True)
class Interval:
    """From `start` to `end` seconds after the video begins."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not an interval of time: {self.start} to {self.end} s")


@dataclass(frozen=True)
class Frame:
    """Metric coordinates, in metres. `forward` and `right` are None where the data set has none.

    handedness: of x, y, z.
    """

    up: Direction
    right: Direction | None = None
    forward: Direction | None = None
    handedness: Literal["right", "left"] = "right"


@dataclass(frozen=True)
class Text:
    """What a person wrote about the scene, or of the part of it that box or interval says."""

    kind: TextKind
    text: str
    box: Box | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Entity:
    """One annotated thing.

    place: where it is (a Point where only its centre is known, in metres); None where only its
      presence is known.
    attributes: what is known of it: "category", "color", ...
    id: what relations, events and tracks call it; unique within the scene where not empty.
    crowd: a box around an uncounted group of the label (COCO's iscrowd).
    affordances: what can be done with it: "open", "pick up", ...
    states: what holds of it now: "open", "dirty", ...
    visibility: the share of it that can be seen, 0 to 1, where known.
    """

    label: str
    place: Box | Cuboid | Point | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    crowd: bool = False
    id: str = ""
    affordances: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    visibility: float | None = None

    @property
    def box(self) -> Box:
        """Its place in an image, of entities that have one: those of an image scene all do."""
        if not isinstance(self.place, Box):
            raise ValueError(f"{self.label} {self.id} has no box in an image")
        return self.place

    @property
    def cuboid(self) -> Cuboid:
        """Its place in metres, of entities that have one."""
        if not isinstance(self.place, Cuboid):
            raise ValueError(f"{self.label} {self.id} has no cuboid")
        return self.place

    @property
    def position(self) -> Point:
        """Its centre in metres, of entities that have one."""
        return self.place if isinstance(self.place, tuple) else self.cuboid.center


@dataclass(frozen=True)
class Relation:
    """`subject` stands in the relation `predicate` to `object`; both are entity ids."""

    subject: str
    predicate: str
    object: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Event:
    """Something that happens; `participants` are entity ids, the one that acts first."""

    text: str
    interval: Interval
    participants: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Track:
    """Where an entity is seen: (seconds, box) in the order of time."""

    entity: str
    places: tuple[tuple[float, Box], ...]


@dataclass(frozen=True)
class Node:
    """A place to stand. `entities` are the ids of what is seen there, `position` in metres."""

    id: str
    position: Point | None = None
    text: str = ""
    entities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A way between two nodes, walked both ways; metres."""

    start: str
    end: str
    length: float


@dataclass(frozen=True)
class Action:
    """One step of what is done in the scene, in order: `verb` on `objects` (entity ids), or to a
    node."""

    verb: str
    objects: tuple[str, ...] = ()
    node: str = ""
    text: str = ""


@dataclass(frozen=True)
class Exhaustive:
    """What is annotated wherever it appears: there, silence means no; elsewhere it means unknown.

    labels: of entities. predicates: of relations. affordances: of entities. everything: nothing at
    all is left unannotated, so that "what is left of X" has one answer. events, edges: all of them
    are listed.
    """

    labels: tuple[str, ...] = ()
    predicates: tuple[str, ...] = ()
    affordances: tuple[str, ...] = ()
    everything: bool = False
    events: bool = False
    edges: bool = False


@dataclass(frozen=True)
class Scene:
    """One scene. `image` is a file name, not a path ("" where there is none, a video's file too);
    `width` and `height` are pixels (0 where unknown), `duration` seconds.
    `attributes` holds what is known of the whole: "background" (its colour), "room", ...
    """

    id: str
    source: str
    license: str
    modality: Modality = "image"
    image: str = ""
    width: int = 0
    height: int = 0
    duration: float = 0.0
    frame: Frame | None = None  # None: boxes in the image's own coordinates
    texts: tuple[Text, ...] = ()
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    events: tuple[Event, ...] = ()
    tracks: tuple[Track, ...] = ()
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    actions: tuple[Action, ...] = ()
    exhaustive: Exhaustive = Exhaustive()
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def captions(self) -> tuple[str, ...]:
        """What people wrote about the whole."""
        return tuple(text.text for text in self.texts if text.kind == "caption")

    def entity(self, id: str) -> Entity:
        """The entity of that id; KeyError where there is none."""
        for entity in self.entities:
            if entity.id == id:
                return entity
        raise KeyError(f"scene {self.id} has no entity {id!r}")


def captions(*texts: str) -> tuple[Text, ...]:
    """Captions of a whole scene, in order."""
    return tuple(Text("caption", text) for text in texts)
