"""What is certain of a video: the order of its events, how long they last, how things move.

Intervals are people's marks on a time line, so ends closer than TOLERANCE count as one; boxes are
people's too, so motion needs clear steps in the image. What lies between is nobody's fact.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, permutations
from typing import Literal, get_args

from llava_jax.instruct.scene import Box, Event, Interval, Relation, Scene, Track

TOLERANCE = 0.5  # seconds within which two annotators' marks for one moment differ
APART = 2.0  # seconds between two events that certainly share no moment
EDGE = 0.1  # the share of a video that is its start, and its end
MOVED = 0.15  # of the image's side: a centre that goes that far has certainly moved
HELD = 0.04  # of the image's side: a centre that stays that close is certainly still
GROWN = 1.5  # ratio of box areas from which a thing has certainly come nearer
SAME = 1.15  # ratio of box areas up to which it has certainly not

Allen = Literal[
    "before",
    "meets",
    "overlaps",
    "starts",
    "during",
    "finishes",
    "equals",
    "finished by",
    "contains",
    "started by",
    "overlapped by",
    "met by",
    "after",
]
_ORDERED: tuple[Allen, ...] = get_args(Allen)
INVERSE: Mapping[Allen, Allen] = dict(zip(_ORDERED, reversed(_ORDERED), strict=True))

Motion = Literal["left", "right", "up", "down", "nearer", "farther"]
OPPOSITE: Mapping[Motion, Motion] = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "nearer": "farther",
    "farther": "nearer",
}
# motion -> (axis of the image, sign)
_STEPS: Mapping[Motion, tuple[int, int]] = {
    "left": (0, -1),
    "right": (0, 1),
    "up": (1, -1),
    "down": (1, 1),
}


def allen(a: Interval, b: Interval, tolerance: float = TOLERANCE) -> Allen:
    """Allen's relation of `a` to `b` (1983), where ends up to `tolerance` seconds apart are one."""

    def compare(x: float, y: float) -> int:
        return 0 if abs(x - y) <= tolerance else -1 if x < y else 1

    starts, ends = compare(a.start, b.start), compare(a.end, b.end)
    if (starts, ends) == (0, 0):
        return "equals"
    if (starts, ends) == (-1, -1):
        gap = compare(a.end, b.start)
        return "before" if gap < 0 else "overlaps" if gap > 0 else "meets"
    if (starts, ends) == (1, 1):
        return INVERSE[allen(b, a, tolerance)]
    if starts == 0:
        return "starts" if ends < 0 else "started by"
    if ends == 0:
        return "finishes" if starts > 0 else "finished by"
    return "during" if starts > 0 else "contains"


def precedes(a: Interval, b: Interval) -> bool | None:
    """Whether `a` comes before `b`; None where people could disagree, as they share time."""
    relation = allen(a, b)
    if relation in ("before", "meets"):
        return True
    return False if relation in ("after", "met by") else None


def coincide(a: Interval, b: Interval) -> bool | None:
    """Whether `a` and `b` share time; None where they just touch, or are no more than APART."""
    if max(a.start, b.start) - min(a.end, b.end) > APART:
        return False
    return None if allen(a, b) in ("before", "meets", "met by", "after") else True


def events_in_order(scene: Scene) -> list[Event]:
    """By start, then by end."""
    return sorted(scene.events, key=lambda event: (event.interval.start, event.interval.end))


def ordered_pairs(scene: Scene) -> list[tuple[Event, Event]]:
    """Pairs of which the first certainly comes before the second, in the order of time."""
    events = events_in_order(scene)
    return [(a, b) for a, b in permutations(events, 2) if precedes(a.interval, b.interval)]


def at_edge(interval: Interval, duration: float, edge: Literal["start", "end"]) -> bool | None:
    """Whether it reaches into the video's first or last part, False where only beyond the middle.

    duration: of the video; None for all where it is unknown (0).
    """
    if duration <= 0:
        return None
    gap = interval.start if edge == "start" else duration - interval.end
    if gap <= max(EDGE * duration, TOLERANCE):
        return True
    return False if gap > duration / 2 else None


def lasts(interval: Interval, seconds: float) -> bool | None:
    """Whether it lasts that long, give or take both ends; False beyond twice that and 20% more."""
    gap = abs(interval.end - interval.start - seconds)
    if gap <= 2 * TOLERANCE:
        return True
    return False if gap > 4 * TOLERANCE + 0.2 * seconds else None


def moves(track: Track, motion: Motion) -> bool | None:
    """Whether it moves so in the image (nearer and farther by the box's area).

    False where it clearly moves the opposite way, None where neither is clear. A pan of the camera
    moves things, too: the directions are those of the image and not of the world.
    """
    if _clearly(track, motion):
        return True
    return False if _clearly(track, OPPOSITE[motion]) else None


def _clearly(track: Track, motion: Motion) -> bool:
    """Whether it goes far enough from its first place to its last, and never clearly back."""
    boxes = [box for _, box in track.places]
    if len(boxes) < 2:
        return False
    if motion in _STEPS:
        axis, sign = _STEPS[motion]
        values = [sign * box.center[axis] for box in boxes]
        far, back = MOVED, HELD
    elif any(_cut_off(box) for box in boxes):
        return False
    else:
        sign = 1 if motion == "nearer" else -1
        values = [sign * math.log(box.area) for box in boxes]
        far, back = math.log(GROWN), math.log(SAME)
    highest = list(accumulate(values, max))
    return values[-1] - values[0] >= far and all(
        top - value <= back for top, value in zip(highest, values, strict=True)
    )


def _cut_off(box: Box) -> bool:
    """Whether it touches the frame: what is beyond tells nothing of the thing's size."""
    return min(box.x1, box.y1, 1 - box.x2, 1 - box.y2) <= 0


def motions(track: Track) -> list[Motion]:
    """Every way in which it certainly moves; none where it is still or it is not clear."""
    return [motion for motion in OPPOSITE if moves(track, motion)]


def is_still(track: Track) -> bool:
    """Whether it certainly stays where it is and as large as it is, as three places show."""
    if len(track.places) < 3:
        return False
    boxes = [box for _, box in track.places]
    spreads = [_spread([box.center[axis] for box in boxes]) for axis in (0, 1)]
    sizes = _spread([math.log(box.area) for box in boxes])
    return max(spreads) <= HELD and sizes <= math.log(SAME)


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def parts(scene: Scene) -> dict[str, list[Event]]:
    """The events that each entity takes part in, in the order of time, by entity id."""
    taken: dict[str, list[Event]] = {}
    for event in events_in_order(scene):
        for entity in dict.fromkeys(event.participants):
            taken.setdefault(entity, []).append(event)
    return taken


def lasting_relations(scene: Scene) -> list[tuple[Interval, Relation]]:
    """What holds from when to when, by start, then by end."""
    timed = [(relation.interval, relation) for relation in scene.relations if relation.interval]
    return sorted(timed, key=lambda pair: (pair[0].start, pair[0].end))
