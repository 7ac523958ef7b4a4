"""A scene: what is known about an image in symbols, before anybody has looked at its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
class Entity:
    """One annotated thing. `attributes` holds what is known of it: "category", "color", ...

    `crowd` marks a box around an uncounted group of the label (COCO's iscrowd).
    """

    label: str
    box: Box
    attributes: Mapping[str, str] = field(default_factory=dict)
    crowd: bool = False


@dataclass(frozen=True)
class Scene:
    """An image's symbols. `width` and `height` are pixels; `image` is a file name, not a path.
    `attributes` holds what is known of the whole: "background" (its colour).

    Two fields say what silence means. A label in `exhaustive` is annotated wherever it appears, so
    its absence is a fact; other labels are unknown. `complete` says that nothing at all is left
    unannotated, so that "what is left of X" has one answer.
    """

    id: str
    image: str
    source: str
    license: str
    width: int
    height: int
    captions: tuple[str, ...]
    entities: tuple[Entity, ...]
    exhaustive: tuple[str, ...] = ()
    complete: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
