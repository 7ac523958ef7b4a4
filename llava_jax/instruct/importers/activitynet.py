"""ActivityNet Captions (Krishna et al., 2017): sentences about intervals of videos.

A file (train.json, val_1.json, val_2.json) is one object:
{"v_ID": {"duration": seconds, "timestamps": [[start, end], ...], "sentences": ["...", ...]}}
"""

from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.reading import Flaw, finite, get, get_number, read_json
from llava_jax.instruct.scene import Event, Interval, Scene
from llava_jax.problems import Problems

OVERSHOOT = 0.5  # an interval may end that many seconds after its video and is cut to it
_WHAT = "the train.json or val_1.json of ActivityNet Captions"
_KEYS = frozenset({"duration", "timestamps", "sentences"})


def read_scenes(path: Path, problems: Problems) -> list[Scene]:
    """One scene a video, in the file's order; a sentence with its interval is an event.

    Videos and sentences that cannot be right are noted in `problems` and left out. Raises
    UserError where the file is missing or is not of this data set.
    """
    videos = read_json(path, _WHAT, problems)
    if not isinstance(videos, dict) or not any(_is_video(video) for video in videos.values()):
        raise UserError(f"{path} is not in the format of ActivityNet Captions; give {_WHAT}")
    scenes = []
    for name, video in videos.items():
        try:
            scenes.append(_scene(name, video, problems))
        except Flaw as flaw:
            problems.note(str(flaw), name)
    return scenes


def _is_video(video: Any) -> bool:
    return isinstance(video, dict) and video.keys() >= _KEYS


def _scene(name: str, video: Any, problems: Problems) -> Scene:
    duration = get_number(video, "duration")
    timestamps, sentences = get(video, "timestamps", list), get(video, "sentences", list)
    if duration <= 0:
        raise Flaw("duration that is not above 0 s")
    if len(timestamps) != len(sentences):
        raise Flaw("unequal numbers of timestamps and sentences")
    events = []
    for number, (times, sentence) in enumerate(zip(timestamps, sentences, strict=True)):
        try:
            events.append(Event(_text(sentence), _interval(times, duration), id=f"e{number}"))
        except Flaw as flaw:
            problems.note(str(flaw), f"{name}, sentence {number + 1}")
    return Scene(
        id=name,
        source="ActivityNet Captions",
        license="not stated",
        modality="video",
        image=f"{name}.mp4",
        duration=duration,
        events=tuple(events),
    )


def _text(sentence: Any) -> str:
    text = " ".join(sentence.split()) if isinstance(sentence, str) else ""
    if not text:
        raise Flaw("sentence without words")
    return text


def _interval(times: Any, duration: float) -> Interval:
    if not isinstance(times, list) or len(times) != 2:
        raise Flaw("timestamp that is not [start, end]")
    start, end = (finite(time, "timestamp") for time in times)
    if start > end:
        raise Flaw("interval that ends before it starts")
    if start < 0 or start >= duration or end > duration + OVERSHOOT:
        raise Flaw("interval outside the video")
    return Interval(start, min(end, duration))
