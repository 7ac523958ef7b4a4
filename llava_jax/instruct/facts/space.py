"""What is certain of things in a room by their boxes in metres: distance, height, support, size.

Every relation has a margin. A function that judges one gives True or False where people would
agree and None where they could differ; facts/viewpoint.py does so for what depends on the viewer.
"""

from collections import Counter
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from jaxtyping import Float

from llava_jax.instruct.scene import Cuboid, Direction, Entity, Scene

Vector = Float[np.ndarray, "3"]

LEVEL = 0.1  # metres: centres or tops that differ by less are at about the same height
TOUCH = 0.05  # metres between surfaces, up to which one thing rests on the other
APART = 0.3  # metres between surfaces, from which two things certainly do not touch
CLEAR = 0.3  # metres by which one distance must exceed another to be the larger one
MUCH_LARGER = 1.5  # ratio of volumes from which "larger" is certain
TALLER = 1.15  # ratio of heights from which "taller" is certain
_PROJECTIONS = 100
_STEP = 1e-4  # metres of progress at which they end
_SIGNS = np.array(list(product((-1, 1), repeat=3)))  # of the eight corners

# Predicates by which the subject rests on the object.
SUPPORT = frozenset({"supported by", "standing on", "lying on", "standing in", "lying in", "on"})
STRUCTURE = frozenset({"wall", "floor", "ceiling"})  # no places to name a distance from


def axis(direction: Direction) -> Vector:
    """The unit vector of "+x", "-z", ..."""
    vector = np.zeros(3)
    vector["xyz".index(direction[1])] = 1.0 if direction[0] == "+" else -1.0
    return vector


def up(scene: Scene) -> Vector:
    """The unit vector away from the floor; ValueError for scenes without metric coordinates."""
    if scene.frame is None:
        raise ValueError(f"scene {scene.id} has no metric frame")
    return axis(scene.frame.up)


def placed(scene: Scene) -> list[Entity]:
    """The things whose box is known, in the scene's order."""
    return [entity for entity in scene.entities if isinstance(entity.place, Cuboid)]


def single_entities(scene: Scene) -> list[Entity]:
    """The placed things whose label names them alone, without walls, floor and ceiling."""
    counts = Counter(entity.label for entity in scene.entities)
    return [e for e in placed(scene) if counts[e.label] == 1 and e.label not in STRUCTURE]


def corners(cuboid: Cuboid) -> Float[np.ndarray, "8 3"]:
    halves = np.array(cuboid.axes) * np.array(cuboid.size)[:, None] / 2
    return np.array(cuboid.center) + _SIGNS @ halves


def extent(cuboid: Cuboid, direction: Vector) -> tuple[float, float]:
    """The interval that the box covers along a unit vector."""
    along = corners(cuboid) @ direction
    return float(along.min()), float(along.max())


def center_distance(a: Entity, b: Entity) -> float:
    return float(np.linalg.norm(np.subtract(a.position, b.position)))


def surface_distance(a: Entity, b: Entity) -> float:
    """Metres between the nearest points of two boxes; 0 where they touch or overlap."""
    return _gap(a.cuboid, b.cuboid)


@lru_cache(maxsize=8192)
def _gap(a: Cuboid, b: Cuboid) -> float:
    """By alternating projections (von Neumann): a point goes from box to box and back."""
    point = np.array(b.center)
    distance = np.inf
    for _ in range(_PROJECTIONS):
        there = _nearest(a, point)
        point = _nearest(b, there)
        before, distance = distance, float(np.linalg.norm(point - there))
        if before - distance < _STEP:
            break
    return distance


def _nearest(cuboid: Cuboid, point: Vector) -> Vector:
    axes, halves = np.array(cuboid.axes), np.array(cuboid.size) / 2
    inside = np.clip(axes @ (point - np.array(cuboid.center)), -halves, halves)
    return np.array(cuboid.center) + inside @ axes


def distance_is(a: Entity, b: Entity, metres: float) -> bool | None:
    """Whether two things are that far apart; speakers mean any points between surface and centre.

    A quarter of a metre and 15% off are forgiven, and up to twice that gives None.
    """
    low, high = surface_distance(a, b), center_distance(a, b)
    miss = max(low - metres, metres - high, 0.0)
    slack = 0.25 + 0.15 * metres
    return True if miss <= slack else False if miss > 2 * slack else None


def above(scene: Scene, a: Entity, b: Entity) -> bool | None:
    """Whether `a` is above `b`: over it, not only higher up; False where it is not even higher."""
    vertical = up(scene)
    if float(np.subtract(a.position, b.position) @ vertical) <= -LEVEL:
        return False
    clear = extent(a.cuboid, vertical)[0] >= extent(b.cuboid, vertical)[1] - TOUCH
    return True if clear and _over(scene, a, b) else None


def _over(scene: Scene, a: Entity, b: Entity) -> bool:
    """Whether the centre of `a` is within the outline of `b`, seen from above."""
    vertical = up(scene)
    shift = float(np.subtract(b.position, a.position) @ vertical)
    point = np.array(a.position) + shift * vertical
    return bool(np.allclose(_nearest(b.cuboid, point), point, atol=TOUCH))


def supports(scene: Scene, below: Entity, on: Entity) -> bool | None:
    """Whether `on` rests on `below`, by the scene's relations or else by the boxes."""
    if _rests(scene, on, below):
        return True
    if _rests(scene, below, on) or surface_distance(on, below) > APART:
        return False
    return None


def _rests(scene: Scene, on: Entity, below: Entity) -> bool:
    if _stated(scene, on, below):
        return True
    vertical = up(scene)
    gap = extent(on.cuboid, vertical)[0] - extent(below.cuboid, vertical)[1]
    return abs(gap) <= TOUCH and _over(scene, on, below)


def _stated(scene: Scene, on: Entity, below: Entity) -> bool:
    return any(
        (relation.subject, relation.object) == (on.id, below.id) and relation.predicate in SUPPORT
        for relation in scene.relations
    )


def support_pairs(scene: Scene) -> list[tuple[Entity, Entity]]:
    """(what rests, what it rests on), in the scene's order."""
    return [(on, b) for on, b in permutations(placed(scene), 2) if _rests(scene, on, b)]


def larger(a: Entity, b: Entity) -> bool | None:
    """By volume of the boxes."""
    return _exceeds(float(np.prod(a.cuboid.size)), float(np.prod(b.cuboid.size)), MUCH_LARGER)


def height(scene: Scene, entity: Entity) -> float:
    """Metres from its bottom to its top."""
    low, high = extent(entity.cuboid, up(scene))
    return high - low


def taller(scene: Scene, a: Entity, b: Entity) -> bool | None:
    return _exceeds(height(scene, a), height(scene, b), TALLER)


def _exceeds(a: float, b: float, ratio: float) -> bool | None:
    return True if a >= ratio * b else False if b >= ratio * a else None


def nearer(a: Entity, b: Entity, reference: Entity) -> bool | None:
    """Whether `a` is nearer to the reference than `b`, by surfaces and by centres alike."""
    gap = center_distance(b, reference) - center_distance(a, reference)
    if abs(gap) < CLEAR:
        return None
    surfaces = surface_distance(b, reference) - surface_distance(a, reference)
    return gap > 0 if min(gap * surfaces, abs(surfaces) - CLEAR) >= 0 else None


def is_nearest(scene: Scene, a: Entity, b: Entity) -> bool | None:
    """Whether nothing else in the room is as near to `b` as `a` is."""
    return _is_outermost(scene, a, b, True)


def is_farthest(scene: Scene, a: Entity, b: Entity) -> bool | None:
    """Whether nothing else in the room is as far from `b` as `a` is."""
    return _is_outermost(scene, a, b, False)


def _is_outermost(scene: Scene, a: Entity, b: Entity, is_nearer: bool) -> bool | None:
    certain = True
    for other in placed(scene):
        if other is a or other is b or other.label in STRUCTURE:
            continue
        verdict = nearer(a, other, b)
        if verdict is (not is_nearer):
            return False
        certain = certain and verdict is is_nearer
    return True if certain else None
