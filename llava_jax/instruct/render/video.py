"""A video as the text that a text-only teacher reads instead of it."""

from collections import Counter
from itertools import combinations

from llava_jax.instruct.facts.video import (
    allen,
    events_in_order,
    is_still,
    lasting_relations,
    motions,
    ordered_pairs,
)
from llava_jax.instruct.render.rendering import Budget, Rendered
from llava_jax.instruct.scene import Entity, Event, Interval, Scene

# How a teacher reads those of Allen's relations at once that do not only order.
_SHARING = {
    "meets": "{} ends as {} begins",
    "overlaps": "{} begins first and overlaps {}",
    "starts": "{} begins together with {} and ends before it",
    "during": "{} happens during {}",
    "finishes": "{} begins after {} and ends together with it",
    "equals": "{} takes the same time as {}",
    "finished by": "{} begins before {} and ends together with it",
    "contains": "{} goes on throughout {}",
    "started by": "{} begins together with {} and ends after it",
}
_MOTIONS = {
    "left": "to the left",
    "right": "to the right",
    "up": "upwards",
    "down": "downwards",
    "nearer": "nearer to the camera",
    "farther": "away from the camera",
}


def render_symbols(scene: Scene, budget: int | None = None) -> Rendered:
    """Captions, then events with times, their relations and order, what moves, and what holds.

    Events are called E1, E2, ... in the order of time; times are seconds. Under a budget (estimated
    tokens) the events come first, then how they share time, motion, relations, and last of all the
    order of the rest, which their times say already.
    """
    room = Budget(budget)
    length = [f"Length: {_time(scene.duration)} s"] if scene.duration else []
    lines = room.fit(length, "lengths")
    lines += room.fit(scene.captions, "captions")
    lines += room.fit(_key_frames(scene), "key-frame captions", "\nCaptions of moments:")
    events = events_in_order(scene)
    names = {id(event): f"E{number}" for number, event in enumerate(events, start=1)}
    told = [
        f"{names[id(event)]} [{_span(event.interval)}] {_told(scene, event)}" for event in events
    ]
    lines += room.fit(told, "events", "\nEvents:")
    lines += room.fit(_shared_time(events, names), "relations in time", "\nEvents that share time:")
    lines += room.fit(_moving(scene), "motions", "\nMotion in the image:")
    lines += room.fit(_holding(scene), "relations", "\nRelations:")
    lines += room.fit(_order(scene, names), "pairs in order", "\nCertain order:")
    return room.rendered(lines)


def _key_frames(scene: Scene) -> list[str]:
    narrations = [(t.interval, t.text) for t in scene.texts if t.interval]
    return [
        f"[{_span(interval)}] {text}"
        for interval, text in sorted(narrations, key=lambda n: (n[0].start, n[0].end))
    ]


def _told(scene: Scene, event: Event) -> str:
    """The event's words, and in brackets who takes part where the scene says it."""
    who = ", ".join(_named(scene, scene.entity(id)) for id in event.participants)
    return f"{event.text} ({who})" if who else event.text


def _shared_time(events: list[Event], names: dict[int, str]) -> list[str]:
    pairs = ((a, b, allen(a.interval, b.interval)) for a, b in combinations(events, 2))
    return [
        _SHARING[relation].format(names[id(a)], names[id(b)])
        for a, b, relation in pairs
        if relation in _SHARING
    ]


def _order(scene: Scene, names: dict[int, str]) -> list[str]:
    """The pairs from which all others follow: those with no event certainly between."""
    pairs = [(names[id(a)], names[id(b)]) for a, b in ordered_pairs(scene)]
    known, middles = set(pairs), set(names.values())
    return [
        f"{a} before {b}"
        for a, b in pairs
        if not any((a, c) in known and (c, b) in known for c in middles)
    ]


def _moving(scene: Scene) -> list[str]:
    """What certainly moves or stays; the tracks of which neither is clear say nothing."""
    lines = []
    for track in scene.tracks:
        how = [_MOTIONS[motion] for motion in motions(track)]
        if how or is_still(track):
            first, last = track.places[0][0], track.places[-1][0]
            doing = f"moves {' and '.join(how)}" if how else "stays where it is"
            name = _named(scene, scene.entity(track.entity))
            lines.append(f"{name} {doing} [{_span(Interval(first, last))}]")
    return lines


def _holding(scene: Scene) -> list[str]:
    return [
        f"{_named(scene, scene.entity(relation.subject))} {relation.predicate} "
        f"{_named(scene, scene.entity(relation.object))} [{_span(interval)}]"
        for interval, relation in lasting_relations(scene)
    ]


def _named(scene: Scene, entity: Entity) -> str:
    """By its label, with the id where another has the same label."""
    alone = Counter(other.label for other in scene.entities)[entity.label] == 1
    return entity.label if alone else f"{entity.label} {entity.id}"


def _span(interval: Interval) -> str:
    start, end = _time(interval.start), _time(interval.end)
    return f"{start} s" if start == end else f"{start}-{end} s"


def _time(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0")
