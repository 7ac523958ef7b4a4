"""ActivityNet Captions' real layout with invented content, good and bad."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.activitynet import read_scenes
from llava_jax.instruct.scene import Event, Interval
from llava_jax.problems import Problems

GOLDEN = """{
  "v_aB3-_xYz012": {"duration": 40.5, "timestamps": [[0.0, 12.2], [10, 40.9]],
    "sentences": ["A baker kneads the dough.", "  The loaf goes\\n into an oven. "]},
  "v_second": {"duration": 8, "timestamps": [[1.5, 8]], "sentences": ["A dog swims."]}
}"""


def write(folder: Path, content: str) -> Path:
    path = folder / "train.json"
    path.write_text(content)
    return path


def test_reads_the_official_layout(tmp_path: Path) -> None:
    problems = Problems()
    first, second = read_scenes(write(tmp_path, GOLDEN), problems)
    assert (first.id, first.modality, first.duration) == ("v_aB3-_xYz012", "video", 40.5)
    assert first.image == "v_aB3-_xYz012.mp4"
    assert first.events == (
        Event("A baker kneads the dough.", Interval(0.0, 12.2), id="e0"),
        Event("The loaf goes into an oven.", Interval(10.0, 40.5), id="e1"),  # cut to the video
    )
    assert second.events[0].interval == Interval(1.5, 8.0)
    assert not first.exhaustive.events
    assert not problems.counts


@pytest.mark.parametrize(
    ("times", "sentence", "problem"),
    [
        ([5, 2], "x", "interval that ends before it starts"),
        ([5, 20], "x", "interval outside the video"),
        ([-1, 2], "x", "interval outside the video"),
        ([10, 10.2], "x", "interval outside the video"),
        ([1], "x", "timestamp that is not [start, end]"),
        (["a", 2], "x", "timestamp that is not a number"),
        ([1, 2], " ", "sentence without words"),
        ([1, 2], None, "sentence without words"),
    ],
)
def test_a_bad_sentence_is_noted_and_the_rest_kept(
    tmp_path: Path, times: object, sentence: object, problem: str
) -> None:
    video = {"duration": 10, "timestamps": [[0, 1], times], "sentences": ["Kept.", sentence]}
    problems = Problems()
    (scene,) = read_scenes(write(tmp_path, json.dumps({"v_1": video})), problems)
    assert [event.text for event in scene.events] == ["Kept."]
    assert (problems.counts, problems.examples) == (
        {problem: 1},
        {problem: ["v_1, sentence 2"]},
    )


@pytest.mark.parametrize(
    ("video", "problem"),
    [
        ('{"duration": 9, "timestamps": []}', "missing sentences"),
        ('{"duration": 9, "timestamps": 3, "sentences": []}', "timestamps that is not a list"),
        ('{"duration": 0, "timestamps": [], "sentences": []}', "duration that is not above 0 s"),
        ('{"duration": null, "timestamps": [], "sentences": []}', "duration that is not a number"),
        ('{"duration": 9, "timestamps": [], "sentences": ["x"]}', "unequal numbers of"),
        ("7", "record that is not an object"),
    ],
)
def test_a_bad_video_is_noted_and_the_rest_kept(tmp_path: Path, video: str, problem: str) -> None:
    problems = Problems()
    scenes = read_scenes(write(tmp_path, f'{GOLDEN[:-2]}, "v_bad": {video}}}'), problems)
    assert len(scenes) == 2
    ((kind, examples),) = problems.examples.items()
    assert kind.startswith(problem)
    assert examples == ["v_bad"]


def test_a_repeated_video_counts_once(tmp_path: Path) -> None:
    again = '"v_second": {"duration": 9, "timestamps": [[0, 9]], "sentences": ["Other."]}'
    problems = Problems()
    scenes = read_scenes(write(tmp_path, f"{GOLDEN[:-2]}, {again}}}"), problems)
    assert [scene.events[-1].text for scene in scenes] == [
        "The loaf goes into an oven.",
        "A dog swims.",
    ]
    assert problems.examples == {"id given twice": ["train.json: v_second"]}


@pytest.mark.parametrize("content", ["[]", "{}", '{"images": []}', "3"])
def test_another_data_set_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match="not in the format of ActivityNet Captions; give the"):
        read_scenes(write(tmp_path, content), Problems())


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*train\.json; give the train\.json"):
        read_scenes(tmp_path / "train.json", Problems())
    with pytest.raises(UserError, match=r"train\.json is not valid JSON"):
        read_scenes(write(tmp_path, GOLDEN[:-9]), Problems())
