"""STAR (Wu et al., 2021): questions about Charades videos, with Action Genome's graphs of frames.

STAR_train.json, STAR_val.json: [{"question_id": "Interaction_T1_13", "video_id": "6H78U",
"start": s, "end": s, "question": ..., "answer": ..., "choices": [...], "situations": {"000093":
{"rel_pairs": [["o000", "o014"], ...], "rel_labels": ["r002", ...], "actions": ["a012", ...],
"bbox": [[x1, y1, x2, y2], ...], "bbox_labels": ["o014", ...]}, ...}}, ...]

Boxes are in pixels; frame 1 is at 0 s. The codes' names are in the text files of STAR_classes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.importers.boxes import pixel_box
from llava_jax.instruct.importers.reading import (
    Flaw,
    finite,
    get,
    get_number,
    get_text,
    read_json_items,
)
from llava_jax.instruct.importers.star_classes import PERSON, Classes, read_classes
from llava_jax.instruct.scene import Box, Entity, Event, Interval, Relation, Scene, Text, Track
from llava_jax.problems import Problems

_WHAT = "the STAR_train.json or STAR_val.json of STAR"
_HAPPENED = ("Interaction", "Sequence")  # the other types ask what could or will be
# Action Genome says of these where the object is, seen from the person; STAR's pairs are all
# [person, object].
_OBJECT_FIRST = frozenset({"in front of", "behind", "on the side of", "above", "beneath"})


@dataclass(frozen=True)
class StarFiles:
    """questions: a STAR_*.json. classes: the folder STAR_classes of STAR's repository.

    frames: the folder into which Action Genome's tool dumped frames (VIDEO.mp4/000093.png): they
      tell the size that boxes are to be read in; without it there are no tracks.
    """

    questions: Path
    classes: Path
    frames: Path | None = None


@dataclass
class _Keyframe:
    actions: set[str] = field(default_factory=set)
    relations: set[tuple[str, str, str]] = field(default_factory=set)  # of codes, subject first
    boxes: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class _Video:
    keyframes: dict[int, _Keyframe] = field(default_factory=dict)
    texts: list[Text] = field(default_factory=list)


def read_scenes(files: StarFiles, problems: Problems) -> list[Scene]:
    """One scene a video, of what all its questions' graphs say of its key frames.

    Actions and relations are seen on key frames only: an interval reaches from the first to the
    last of neighbouring ones that show it, and may in truth begin or end up to a key frame outside.
    A question with its answer is a narration of its interval where it asks what happened.
    What cannot be right is noted in `problems` and left out. Raises UserError where a file is
    missing or is not of this data set.
    """
    classes = read_classes(files.classes)
    videos: dict[str, _Video] = {}
    seen: set[str] = set()
    for number, question in enumerate(read_json_items(files.questions, _WHAT), start=1):
        where = f"{files.questions.name}, question {number}"
        try:
            _add_question(question, classes, seen, videos, problems)
        except Flaw as flaw:
            problems.note(str(flaw), where)
    if not videos:
        raise UserError(f"{files.questions} holds no question of STAR; give {_WHAT}")
    scenes = []
    for name, video in videos.items():
        try:
            scenes.append(_scene(name, video, classes, files.frames, problems))
        except Flaw as flaw:
            problems.note(str(flaw), name)
    return scenes


def _add_question(
    question: Any,
    classes: Classes,
    seen: set[str],
    videos: dict[str, _Video],
    problems: Problems,
) -> None:
    id, name = get_text(question, "question_id"), get_text(question, "video_id")
    if id in seen:
        raise Flaw("question_id given twice")
    start, end = get_number(question, "start"), get_number(question, "end")
    if not 0 <= start <= end:
        raise Flaw("interval that ends before it starts")
    situations = get(question, "situations", dict)
    seen.add(id)
    video = videos.setdefault(name, _Video())
    if id.startswith(_HAPPENED) and "answer" in question:
        text = f"{get_text(question, 'question')} {get_text(question, 'answer')}"
        video.texts.append(Text("narration", text, interval=Interval(start, end)))
    for number, graph in situations.items():
        try:
            _add_graph(number, graph, classes, video.keyframes)
        except Flaw as flaw:
            problems.note(str(flaw), f"{id}, frame {number}")


def _add_graph(number: str, graph: Any, classes: Classes, keyframes: dict[int, _Keyframe]) -> None:
    """Questions of one video repeat its frames: what one of them leaves out another may say."""
    if not number.isdecimal() or int(number) < 1:
        raise Flaw("frame that is not numbered from 1")
    actions = _codes(get(graph, "actions", list), classes.actions)
    predicates = _codes(get(graph, "rel_labels", list), classes.relations)
    pairs, boxes = get(graph, "rel_pairs", list), get(graph, "bbox", list)
    labels = _codes(get(graph, "bbox_labels", list), classes.objects)
    if len(pairs) != len(predicates) or len(boxes) != len(labels):
        raise Flaw("unequal numbers of relations and labels, or of boxes and labels")
    relations = []
    for pair, predicate in zip(pairs, predicates, strict=True):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Flaw("pair of a relation that is not two objects")
        subject, object = _codes(pair, classes.objects)
        turned = classes.relations[predicate] in _OBJECT_FIRST
        relations.append((object, predicate, subject) if turned else (subject, predicate, object))
    keyframe = keyframes.setdefault(int(number), _Keyframe())
    keyframe.actions.update(actions)
    keyframe.relations.update(relations)
    keyframe.boxes = {
        label: box for label, box in zip(labels, boxes, strict=True) if box is not None
    } | keyframe.boxes


def _codes(codes: Iterable[Any], names: Mapping[str, str]) -> list[str]:
    codes = list(codes)
    if unknown := [code for code in codes if not isinstance(code, str) or code not in names]:
        raise Flaw(f"class {unknown[0]} that STAR does not have")
    return codes


def _scene(
    name: str, video: _Video, classes: Classes, frames: Path | None, problems: Problems
) -> Scene:
    rate = classes.rates.get(f"{name}.mp4")
    if rate is None:
        raise Flaw("video whose frame rate is not in video_fps")
    keyframes = {(number - 1) / rate: video.keyframes[number] for number in sorted(video.keyframes)}
    size = _frame_size(frames / f"{name}.mp4", name, problems) if frames else None
    events = _events(keyframes, classes)
    relations = [
        Relation(subject, classes.relations[predicate], object, interval)
        for (subject, predicate, object), interval in _spans(keyframes, lambda k: k.relations)
    ]
    boxed = {code for keyframe in keyframes.values() for code in keyframe.boxes}
    related = {code for relation in relations for code in (relation.subject, relation.object)}
    acting = {code for event in events for code in event.participants}
    width, height = size or (0, 0)
    return Scene(
        id=name,
        source="STAR",
        license="not stated",
        modality="video",
        image=f"{name}.mp4",
        width=width,
        height=height,
        texts=tuple(video.texts),
        entities=tuple(
            Entity(classes.objects[code], id=code) for code in sorted(boxed | related | acting)
        ),
        relations=tuple(relations),
        events=tuple(events),
        tracks=_tracks(name, keyframes, size, problems) if size else (),
    )


def _events(keyframes: Mapping[float, _Keyframe], classes: Classes) -> list[Event]:
    """In the order of time; the person acts, on the object that the action's class names."""
    spans = _spans(keyframes, lambda keyframe: keyframe.actions)
    return [
        Event(classes.actions[code], interval, (PERSON, classes.acted_on[code]), id=f"e{number}")
        for number, (code, interval) in enumerate(spans)
    ]


def _spans(
    keyframes: Mapping[float, _Keyframe], of: Callable[[_Keyframe], set[Any]]
) -> list[tuple[Any, Interval]]:
    """What holds on neighbouring key frames, with the time from the first of them to the last."""
    spans: list[tuple[Any, Interval]] = []
    running: dict[Any, Interval] = {}
    for time, keyframe in keyframes.items():
        held = of(keyframe)
        spans += [(item, running.pop(item)) for item in list(running) if item not in held]
        for item in held:
            running[item] = Interval(running[item].start if item in running else time, time)
    spans += running.items()
    return sorted(spans, key=lambda span: (span[1].start, span[1].end, span[0]))


def _tracks(
    name: str,
    keyframes: Mapping[float, _Keyframe],
    size: tuple[int, int],
    problems: Problems,
) -> tuple[Track, ...]:
    places: dict[str, list[tuple[float, Box]]] = {}
    for time, keyframe in keyframes.items():
        for code, corners in sorted(keyframe.boxes.items()):
            try:
                places.setdefault(code, []).append((time, _box(corners, size)))
            except Flaw as flaw:
                problems.note(str(flaw), f"{name}, {code} at {time:.1f} s")
    return tuple(Track(code, tuple(seen)) for code, seen in sorted(places.items()) if seen)


def _box(corners: Any, size: tuple[int, int]) -> Box:
    if not isinstance(corners, list) or len(corners) != 4:
        raise Flaw("box that is not four numbers")
    x1, y1, x2, y2 = (finite(corner, "box") for corner in corners)
    return pixel_box((x1, y1, x2 - x1, y2 - y1), float(size[0]), float(size[1]))


def _frame_size(folder: Path, name: str, problems: Problems) -> tuple[int, int] | None:
    for path in sorted(folder.glob("*.png"))[:1]:
        try:
            with Image.open(path) as image:
                return image.size
        except OSError:
            problems.note("dumped frame that is not an image", f"{path.parent.name}/{path.name}")
            return None
    problems.note("video without dumped frames", name)
    return None
