"""What is certain of things as somebody sees them: left, right, in front, behind, hidden.

All angles are degrees: across from the direction of view (positive to the right), and upwards
from the horizon.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from llava_jax.instruct.facts.space import (
    Vector,
    corners,
    extent,
    placed,
    single_entities,
    up,
)
from llava_jax.instruct.scene import Entity, Scene

EYES = 1.6  # metres above the floor
CLEAR = 10.0  # degrees between centres, from which "left of" is certain
LEVEL = 4.0  # degrees: centres that differ by less are neither left nor right of each other
ASIDE = 20.0  # degrees from the direction of view, from which a thing is "on the left"
BEHIND_VIEWER = 120.0  # degrees, from which it is behind the viewer and on no side
IN_VIEW = 80.0  # degrees to which both sides are seen at once
DEPTH = 0.3  # metres by which the nearer of two things must be nearer
TOO_NEAR = 0.4  # metres: such a thing has no side
HIDDEN = 0.5  # share of a thing's outline, from which it is "hidden by" another
SEEN = 0.1  # share up to which it is certainly not
DOORS = ("door", "doorway", "entrance")

Way = Literal["left", "right", "in front", "behind"]
Place = Literal["left", "right", "ahead", "behind"]


@dataclass(frozen=True)
class Viewpoint:
    """Somebody's eyes, in metres, and the unit vectors of the level direction in which they look.

    standing, looking: the labels of what they stand at and look at ("" : the room's middle).
    """

    eyes: Vector
    forward: Vector
    right: Vector
    up: Vector
    standing: str
    looking: str = ""

    @property
    def words(self) -> str:
        """ "standing at the door and looking at the window"."""
        aim = f"at the {self.looking}" if self.looking else "into the room"
        return f"standing at the {self.standing} and looking {aim}"


@dataclass(frozen=True)
class Outline:
    """The rectangle of angles that a thing's box fills, its centre, and how far that is (m)."""

    left: float
    right: float
    low: float
    high: float
    center: float
    distance: float


def look(scene: Scene, standing: Entity, at: Entity | None = None) -> Viewpoint | None:
    """From one thing at another, or else at the middle of all; None where they are too close."""
    vertical = up(scene)
    room = np.concatenate([corners(entity.cuboid) for entity in placed(scene)])
    middle = (room.min(axis=0) + room.max(axis=0)) / 2
    target = middle if at is None else np.array(at.position)
    floor = min(extent(entity.cuboid, vertical)[0] for entity in placed(scene))
    there = np.array(standing.position)
    eyes = there + (floor + EYES - there @ vertical) * vertical
    way = target - eyes
    way = way - (way @ vertical) * vertical
    length = float(np.linalg.norm(way))
    if length < TOO_NEAR:
        return None
    forward = way / length
    # In right-handed coordinates right = forward x up; the same formula mirrors in left-handed.
    right = np.cross(forward, vertical)
    if scene.frame is not None and scene.frame.handedness == "left":
        right = -right
    return Viewpoint(eyes, forward, right, vertical, standing.label, at.label if at else "")


def chosen_viewpoint(scene: Scene) -> Viewpoint | None:
    """From the only door, or else from the only thing of its name farthest from the middle."""
    singles = single_entities(scene)
    if len(singles) < 2:
        return None
    doors = [entity for entity in singles if entity.label in DOORS]
    middle = np.mean([entity.position for entity in placed(scene)], axis=0)
    outermost = max(singles, key=lambda e: float(np.linalg.norm(np.array(e.position) - middle)))
    return look(scene, doors[0] if doors else outermost)


def outline(view: Viewpoint, entity: Entity) -> Outline | None:
    """None for what the viewer stands at or in."""
    center = np.array(entity.position) - view.eyes
    around = np.array([view.right, view.forward, view.up])
    x, y, _ = around @ center
    if np.hypot(x, y) < TOO_NEAR:
        return None
    middle = float(np.degrees(np.arctan2(x, y)))
    xs, ys, zs = around @ (corners(entity.cuboid) - view.eyes).T
    across = middle + _turned(np.degrees(np.arctan2(xs, ys)) - middle)
    if np.ptp(across) > 150:  # the viewer is within it, or all but
        return None
    upwards = np.degrees(np.arctan2(zs, np.hypot(xs, ys)))
    return Outline(
        left=float(across.min()),
        right=float(across.max()),
        low=float(upwards.min()),
        high=float(upwards.max()),
        center=middle,
        distance=float(np.linalg.norm(center)),
    )


def _turned(degrees: np.ndarray) -> np.ndarray:
    """The same directions within -180 to 180."""
    return (degrees + 180) % 360 - 180


def place(view: Viewpoint, entity: Entity) -> Place | None:
    """On which side of the viewer it is; None near the limit between two sides."""
    seen = outline(view, entity)
    if seen is None:
        return None
    if abs(seen.center) >= BEHIND_VIEWER:
        return "behind" if abs(seen.center) >= 180 - ASIDE else None
    if abs(seen.center) >= ASIDE and not seen.left < 0 < seen.right:
        return "right" if seen.center > 0 else "left"
    return "ahead" if abs(seen.center) <= ASIDE / 2 else None


def lies(view: Viewpoint, a: Entity, way: Way, b: Entity) -> bool | None:
    """Whether `a` is left of, right of, in front of or behind `b`, as the viewer sees them."""
    one, other = outline(view, a), outline(view, b)
    if one is None or other is None or max(abs(one.center), abs(other.center)) > IN_VIEW:
        return None
    if way in ("in front", "behind"):
        gap = (other.distance - one.distance) * (1 if way == "in front" else -1)
        in_line = min(one.right, other.right) > max(one.left, other.left)
        return None if abs(gap) < DEPTH or not in_line else gap > 0
    gap = (one.center - other.center) * (1 if way == "right" else -1)
    if gap <= -LEVEL:
        return False
    apart = not (one.left < other.center < one.right or other.left < one.center < other.right)
    return True if gap >= CLEAR and apart else None


def hides(view: Viewpoint, a: Entity, b: Entity) -> bool | None:
    """Whether `a` hides most of `b`: it is nearer, and its outline covers that of `b`."""
    one, other = outline(view, a), outline(view, b)
    if one is None or other is None or max(abs(one.center), abs(other.center)) > IN_VIEW:
        return None
    across = min(one.right, other.right) - max(one.left, other.left)
    upwards = min(one.high, other.high) - max(one.low, other.low)
    area = (other.right - other.left) * (other.high - other.low)
    share = max(across, 0.0) * max(upwards, 0.0) / area
    if share <= SEEN or one.distance >= other.distance + DEPTH:
        return False
    return True if share >= HIDDEN and one.distance <= other.distance - DEPTH else None
