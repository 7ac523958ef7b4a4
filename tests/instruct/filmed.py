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


def moving(*tracks: Track, **changes) -> Scene:
    """A video of tracked things that are called by their ids."""
    entities = tuple(Entity(track.entity, id=track.entity) for track in tracks)
    return video_of(**({"entities": entities, "tracks": tracks} | changes))


# (what happens as an annotator writes it, as a teacher may tell it)
DEEDS = (
    ("A man in a grey coat opens the fridge.", "the man opened the fridge"),
    ("A woman peels two carrots.", "a woman peeled carrots"),
    ("The boy pours milk into a bowl.", "the boy poured the milk"),
    ("A girl ties her shoes.", "the girl tied her shoes"),
    ("The chef is slicing an onion.", "the chef sliced the onion"),
    ("A dog chases a ball.", "the dog chased the ball"),
    ("An old man lights a candle.", "the old man lit a candle"),
    ("The nurse washes her hands.", "the nurse washed her hands"),
    ("Two players shake hands.", "two players shook hands"),
    ("The painter covers the wall with plaster.", "the painter covered the wall"),
)


def invented_videos(count: int, seed: int = 0) -> list[Scene]:
    """Videos of three to five of the DEEDS, each a second or more after the last."""
    rng = random.Random(seed)
    scenes = []
    for _ in range(count):
        time, events = 1.0, []
        for text, _told in rng.sample(DEEDS, rng.randrange(3, 6)):
            end = time + rng.uniform(3, 9)
            events.append((text, time, end))
            time = end + rng.uniform(1, 3)
        scenes.append(video_of(*events, duration=time))
    return scenes
