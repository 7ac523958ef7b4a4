"""Video scenes for tests."""

import random
from collections.abc import Sequence

from llava_jax.instruct.scene import Box, Entity, Event, Interval, Scene, Track


def during(start: float, end: float) -> Interval:
    """Whole seconds, too."""
    return Interval(float(start), float(end))


def video_of(*events: tuple[str, float, float], duration: float = 60.0, **changes) -> Scene:
    """A video of events (text, start, end)."""
    fields = {
        "id": "v1",
        "source": "test",
        "license": "none",
        "modality": "video",
        "image": "v1.mp4",
        "duration": duration,
        "events": tuple(
            Event(text, during(start, end), id=f"e{number}")
            for number, (text, start, end) in enumerate(events)
        ),
    }
    return Scene(**(fields | changes))


def track_of(
    entity: str, *centers: tuple[float, float], sizes: Sequence[float] | None = None
) -> Track:
    """Boxes around the centres, one a second; `sizes`: their sides, 0.2 where not given."""
    sides = sizes or [0.2] * len(centers)
    return Track(
        entity,
        tuple(
            (float(second), Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2))
            for second, ((x, y), side) in enumerate(zip(centers, sides, strict=True))
        ),
    )


def moving(*tracks: Track, duration: float = 60.0) -> Scene:
    """A video of tracked things that are called by their ids."""
    entities = tuple(Entity(track.entity, id=track.entity) for track in tracks)
    return video_of(duration=duration, entities=entities, tracks=tracks)


# (subject, verb of an event's text, verb in the past, object)
_DEEDS = (
    ("a man", "opens", "opened", "the fridge"),
    ("a woman", "peels", "peeled", "two carrots"),
    ("the boy", "pours", "poured", "milk into a bowl"),
    ("a girl", "ties", "tied", "her shoes"),
    ("the chef", "slices", "sliced", "an onion"),
    ("a dog", "chases", "chased", "a ball"),
    ("an old man", "lights", "lit", "a candle"),
    ("the nurse", "washes", "washed", "her hands"),
    ("two players", "shake", "shook", "hands"),
    ("the painter", "covers", "covered", "the wall with plaster"),
)


def invented_videos(count: int, seed: int = 0) -> list[Scene]:
    """Videos of three to five different events that follow each other with a second between."""
    rng = random.Random(seed)
    scenes = []
    for _ in range(count):
        time, events = 1.0, []
        for subject, verb, _past, object in rng.sample(_DEEDS, rng.randrange(3, 6)):
            end = time + rng.uniform(3, 9)
            events.append((f"{subject.capitalize()} {verb} {object}.", time, end))
            time = end + rng.uniform(1, 3)
        scenes.append(video_of(*events, duration=time))
    return scenes
