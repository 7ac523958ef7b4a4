"""Probes of scenes: their truth, their balance, and what their figures say of known answerers."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.failures.scenes import SCENE_PROBES, scene_questions
from llava_jax.instruct.importers.openmoji import draw_scene
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene
from tests.evaluation.failures.answering import right, scored, values
from tests.instruct.drawn import STYLE, drawn_files, drawn_scenes, rectangles, scene_of

QUADS = ("color quad", "place quad", "count pair", "negation quad", "choice of side, all orders")


def binding_scenes(count: int) -> list[Scene]:
    sprites = rectangles()
    return [
        draw_scene(np.random.default_rng((4, n)), STYLE, sprites, "binding", n)[1]
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    scenes = binding_scenes(60)
    return list(scene_questions(scenes, Path("images")))


def colored(label: str, color: str, x: float) -> Entity:
    return Entity(label, Box(x, 0.4, x + 0.1, 0.5), {"color": color})


def test_a_quad_of_colors_by_hand() -> None:
    labels = ("heart", "book", "star")
    pairs = [("heart", "red", "book", "blue"), ("heart", "blue", "book", "red")]
    scenes = [
        scene_of(
            id=str(n),
            entities=(colored(a, o, 0.1), colored(b, p, 0.8)),
            exhaustive=Exhaustive(labels, everything=True),
        )
        for n, (a, o, b, p) in enumerate(pairs)
    ]
    asked = {
        q.prompt.split("\n")[0]: q.truth.answer
        for q in scene_questions(scenes, Path("images"))
        if q.cluster == "0" and "color" in q.groups
    }
    assert asked == {
        "Is there a red heart in the image?": "yes",
        "Is there a blue book in the image?": "yes",
        "Is there a blue heart in the image?": "no",
        "Is there a red book in the image?": "no",
    }


def test_no_quad_of_colors_that_a_thing_never_has() -> None:
    scene = scene_of(entities=(colored("apple", "red", 0.1), colored("car", "blue", 0.8)))
    asked = [q for q in scene_questions([scene], Path("images")) if "color" in q.groups]
    assert asked == []


def test_the_truth_of_every_question(questions: list[Question]) -> None:
    scenes = {scene.id: scene for scene in binding_scenes(60)}
    for question in questions:
        words = question.prompt.split("\n")[0]
        things = {e.label: e for e in scenes[question.cluster].entities}
        truth = question.truth.answer
        if found := re.match(r"Is there an? (\w+) (\w+) in", words):
            color, label = found.groups()
            holds = label in things and things[label].attributes["color"] == color
        elif found := re.match(r"Is the (\w+) (?:to the )?(\w+)(?: of)? the (\w+)\?", words):
            place = found.group(2)
            axis = "xy".index("x" if place in ("left", "right") else "y")
            a, b = (
                things[name].box.center[axis] if name in things else None
                for name in found.group(1, 3)
            )
            holds = a is not None and (a < b) == (place in ("left", "above"))
        elif found := re.match(r"Is it true that there is (an?|no) (\w+) in", words):
            holds = (found.group(2) in things) != (found.group(1) == "no")
        elif found := re.match(r"(?:Is|Are) there exactly (\w+)", words):
            holds = found.group(1) == "one"
        else:
            assert "choice of side" in question.groups
            continue
        assert truth == ("yes" if holds else "no"), words


def test_an_oracle_is_right_and_binds(questions: list[Question]) -> None:
    oracle = values(scored(SCENE_PROBES, questions, right))
    assert oracle.pop("color binding gap") == oracle.pop("place binding gap") == 0
    assert set(oracle.values()) == {1.0}
    assert {*QUADS, "color absent", "place absent"} <= set(oracle)


@pytest.mark.parametrize("word", ["Yes", "No", "Left"])
def test_constant_answers_are_chance(questions: list[Question], word: str) -> None:
    constant = values(scored(SCENE_PROBES, questions, lambda q: word))
    assert all(constant[figure] == 0 for figure in QUADS)
    assert constant["color binding gap"] == constant["place binding gap"] == 0
    if word != "Left":
        expected = dict.fromkeys(("color", "place", "side", "height", "count", "negation"), 0.5)
        assert {name: constant[name] for name in expected} == expected


def test_a_bag_of_patches_has_a_gap(questions: list[Question]) -> None:
    """It knows which words belong to the image, and not to each other."""

    def bag(question: Question) -> str:
        return "No" if any("absent" in group for group in question.groups) else "Yes"

    figures = values(scored(SCENE_PROBES, questions, bag))
    assert figures["color binding gap"] == figures["place binding gap"] == 1
    assert figures["color quad"] == figures["place quad"] == 0


def test_colors_alone_tell_nothing(questions: list[Question]) -> None:
    """Over many scenes a phrase is as often wrong as right."""
    asked = Counter((q.prompt, q.truth.answer) for q in questions if "color" in q.groups)
    both = {prompt for prompt, _ in asked if asked[prompt, "yes"] and asked[prompt, "no"]}
    assert len(both) > len({prompt for prompt, _ in asked}) / 2


def test_drawn_and_coco_like_folders_load(tmp_path: Path) -> None:
    scenes = drawn_scenes(12)
    drawn_files(tmp_path / "set", scenes)
    questions = SCENE_PROBES.load(tmp_path / "set")
    assert {q.id for q in questions} == {q.id for q in SCENE_PROBES.load(tmp_path / "set")}
    assert all(q.images[0].exists() for q in questions)
    assert {"place", "count", "negation"} <= {group for q in questions for group in q.groups}
    assert values(scored(SCENE_PROBES, questions, right))["accuracy"] == 1
    with pytest.raises(UserError, match=r"instances.json: COCO's instances"):
        SCENE_PROBES.load(tmp_path)
