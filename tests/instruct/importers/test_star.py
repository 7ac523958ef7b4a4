"""STAR's real layout with invented content, good and bad."""

import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.importers.star import StarFiles, read_scenes
from llava_jax.instruct.scene import Box, Event, Interval, Relation, Text
from llava_jax.problems import Problems

CLASSES = {
    "object_classes.txt": "o000 person\no010 cup/glass/bottle\no024 dish\n",
    "relationship_classes.txt": "r002 in_front_of\nr009 holding\nr019 touching\n",
    "action_classes.txt": "a085 wash a cup/glass/bottle\na091 hold a dish\n",
    "action_mapping.txt": "a085 v015 o010\na091 v004 o024\n",
}


def graph(actions: list[str], relations: list[tuple[str, str]], **boxes: list[float] | None) -> Any:
    return {
        "rel_pairs": [["o000", object] for _, object in relations],
        "rel_labels": [predicate for predicate, _ in relations],
        "actions": actions,
        "bbox": list(boxes.values()),
        "bbox_labels": list(boxes),
    }


def question(id: str = "Interaction_T2_77", answer: str = "Washed.", **changes: Any) -> Any:
    programs = [{"function": "Situations", "value_input": []}]
    fields = {
        "question_id": id,
        "question": "What did the person do with the cup/glass/bottle?",
        "video_id": "QX1ZZ",
        "start": 0.5,
        "end": 9.0,
        "answer": answer,
        "question_program": programs,
        "choices": [{"choice_id": 0, "choice": answer, "choice_program": programs}],
        "situations": {
            "000041": graph(
                ["a085"],
                [("r009", "o010"), ("r002", "o010")],
                o010=[100.0, 90.0, 148.0, 135.0],
                o000=[0, 27, 240, 270.0],
            ),
            "000021": graph(["a085"], [("r009", "o010")], o010=[96.0, 54, 144, 108], o000=None),
            "000081": graph(["a091"], [("r009", "o024")], o000=[240, 27, 480, 275]),
        },
    }
    return fields | changes


def star(folder: Path, *questions: Any, frames: bool = True) -> StarFiles:
    classes, dumped = folder / "STAR_classes", folder / "frames"
    classes.mkdir()
    for name, content in CLASSES.items():
        (classes / name).write_text(content)
    (classes / "video_fps").write_bytes(pickle.dumps({"QX1ZZ.mp4": np.float64(20.0)}))
    (dumped / "QX1ZZ.mp4").mkdir(parents=True)
    Image.new("RGB", (480, 270)).save(dumped / "QX1ZZ.mp4" / "000021.png")
    path = folder / "STAR_val.json"
    path.write_text(json.dumps(questions))
    return StarFiles(path, classes, dumped if frames else None)


def test_reads_the_official_layout(tmp_path: Path) -> None:
    problems = Problems()
    (scene,) = read_scenes(star(tmp_path, question()), problems)
    assert (scene.id, scene.modality, scene.image) == ("QX1ZZ", "video", "QX1ZZ.mp4")
    assert (scene.width, scene.height, scene.duration) == (480, 270, 0.0)
    assert [(e.id, e.label) for e in scene.entities] == [
        ("o000", "person"),
        ("o010", "cup/glass/bottle"),
        ("o024", "dish"),
    ]
    assert scene.events == (
        Event("wash a cup/glass/bottle", Interval(1.0, 2.0), ("o000", "o010"), "e0"),
        Event("hold a dish", Interval(4.0, 4.0), ("o000", "o024"), "e1"),
    )
    assert scene.relations == (
        Relation("o000", "holding", "o010", Interval(1.0, 2.0)),
        Relation("o010", "in front of", "o000", Interval(2.0, 2.0)),  # of the person
        Relation("o000", "holding", "o024", Interval(4.0, 4.0)),
    )
    person, cup = scene.tracks
    assert person.places == ((2.0, Box(0.0, 0.1, 0.5, 1.0)), (4.0, Box(0.5, 0.1, 1.0, 1.0)))
    assert (cup.entity, cup.places[0]) == ("o010", (1.0, Box(0.2, 0.2, 0.3, 0.4)))
    text = "What did the person do with the cup/glass/bottle? Washed."
    assert scene.texts == (Text("narration", text, interval=Interval(0.5, 9.0)),)
    assert not problems.counts


def test_questions_of_a_video_complete_each_other(tmp_path: Path) -> None:
    more = {"000041": graph(["a091"], []), "000061": graph(["a085"], [], o024=[0, 0, 48, 27])}
    files = star(
        tmp_path,
        question(),
        question("Feasibility_T1_3", situations=more),  # what could be is no narration
        frames=False,
    )
    (scene,) = read_scenes(files, Problems())
    assert [(event.text, event.interval) for event in scene.events] == [
        ("wash a cup/glass/bottle", Interval(1.0, 3.0)),
        ("hold a dish", Interval(2.0, 2.0)),  # not seen at 3 s, so these are two
        ("hold a dish", Interval(4.0, 4.0)),
    ]
    assert len(scene.texts) == 1
    assert (scene.tracks, scene.width) == ((), 0)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (question(), "question_id given twice"),
        (question("Sequence_T1_1", start=9.5), "interval that ends before it starts"),
        (question("Sequence_T1_1", start="9"), "start that is not a number"),
        (question("Sequence_T1_1", situations=[]), "situations that is not an object"),
        (question("Sequence_T1_1", video_id=""), "empty video_id"),
        ({"question_id": "Sequence_T1_1"}, "missing video_id"),
        ({k: v for k, v in question("S").items() if k != "end"}, "missing end"),
        (7, "record that is not an object"),
    ],
)
def test_a_bad_question_is_noted_and_the_rest_kept(tmp_path: Path, bad: Any, problem: str) -> None:
    problems = Problems()
    (scene,) = read_scenes(star(tmp_path, question(), bad), problems)
    assert (len(scene.events), len(scene.texts)) == (2, 1)
    assert problems.examples == {problem: ["STAR_val.json, question 2"]}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("actions", ["a999"], "class a999 that STAR does not have"),
        ("actions", None, "actions that is not a list"),
        ("rel_pairs", [["o000", "o010"], ["o000"]], "pair of a relation that is not two objects"),
        ("rel_labels", [], "unequal numbers of relations and labels, or of boxes and labels"),
        ("bbox", [], "unequal numbers of relations and labels, or of boxes and labels"),
    ],
)
def test_a_bad_graph_is_noted_and_the_rest_kept(
    tmp_path: Path, key: str, value: Any, problem: str
) -> None:
    bad, problems = copy.deepcopy(question()), Problems()
    bad["situations"]["000041"][key] = value
    (scene,) = read_scenes(star(tmp_path, bad), problems)
    assert scene.events[0].interval == Interval(1.0, 1.0)
    assert problems.examples == {problem: ["Interaction_T2_77, frame 000041"]}


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([490, 0, 500, 20], "box outside the image"),
        ([50, 0, 40, 20], "empty box"),
        ([1, 2, 3], "box that is not four numbers"),
        ("box", "box that is not four numbers"),
    ],
)
def test_a_bad_box_is_noted_and_the_rest_kept(tmp_path: Path, box: Any, problem: str) -> None:
    bad, problems = copy.deepcopy(question()), Problems()
    bad["situations"]["000041"]["bbox"][0] = box
    (scene,) = read_scenes(star(tmp_path, bad), problems)
    assert [len(track.places) for track in scene.tracks] == [2, 1]
    assert problems.examples == {problem: ["QX1ZZ, o010 at 2.0 s"]}


def test_videos_without_frame_rate_or_frames_are_noted(tmp_path: Path) -> None:
    files, problems = (
        star(tmp_path, question(), question("Sequence_T2_5", video_id="NONE1")),
        Problems(),
    )
    (files.frames / "QX1ZZ.mp4" / "000021.png").unlink()
    (scene,) = read_scenes(files, problems)
    assert scene.tracks == ()
    assert problems.examples == {
        "video without dumped frames": ["QX1ZZ"],
        "video whose frame rate is not in video_fps": ["NONE1"],
    }


@pytest.mark.parametrize("content", ["{}", "[]", '[{"image": 3}]', "[[]]"])
def test_another_data_set_is_refused(tmp_path: Path, content: str) -> None:
    files = star(tmp_path)
    files.questions.write_text(content)
    with pytest.raises(UserError, match=r"give the STAR_train\.json"):
        read_scenes(files, Problems())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("object_classes.txt", "o000 person\n", "do not belong together"),
        ("object_classes.txt", "person", 'a line other than "code name"'),
        ("action_mapping.txt", None, "action_mapping.txt cannot be read"),
        ("video_fps", "no pickle", "is not STAR's table of frame rates"),
    ],
)
def test_other_classes_are_refused(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    files = star(tmp_path, question())
    (files.classes / name).unlink()
    if content:
        (files.classes / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_scenes(files, Problems())


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    files = star(tmp_path, question())
    (files.classes / "video_fps").write_bytes(pickle.dumps({"QX1ZZ.mp4": _Runs()}))
    with pytest.raises(UserError, match=r"frame rates \(it asks for posix\.system\)"):
        read_scenes(files, Problems())
