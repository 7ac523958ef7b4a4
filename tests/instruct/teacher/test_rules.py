"""Every answer of the rule-based teacher, read back and derived anew from the boxes."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from llava_jax.instruct.facts import image as facts
from llava_jax.instruct.nouns import NUMBERS, noun, plural
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene
from llava_jax.instruct.teacher import wording
from llava_jax.instruct.teacher.rules import RuleTeacher, place
from llava_jax.instruct.turns import Turn
from tests.instruct.drawn import drawn_scenes, scene_of

TEACHER = RuleTeacher()
EVERYTHING = RuleTeacher(
    {sort: 3 for sort in ("presence", "position", "relation", "kind", "count", "caption")}
)


def check_presence(scene: Scene, turn: Turn) -> bool:
    match = re.fullmatch(r"(?:Is there|Can you see) an? (.+?)(?: in the image)?\?", turn.question)
    if match:
        assert turn.answer == (
            "Yes." if match[1] in {noun(e.label) for e in scene.entities} else "No."
        )
    return bool(match)


def check_position(scene: Scene, turn: Turn) -> bool:
    match = re.fullmatch(
        r"What is (?:to the )?(left|right|above|below)(?: of)? the (.+)\?", turn.question
    )
    if match:
        reference = next(e for e in scene.entities if noun(e.label) == match[2])
        axis, sign = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}[match[1]]
        ahead = [
            e.label
            for e in scene.entities
            if sign * (e.box.center[axis] - reference.box.center[axis]) > 0.06
        ]
        assert [turn.answer.rstrip(".").split()[-1]] == ahead
    return bool(match)


def check_relation(scene: Scene, turn: Turn) -> bool:
    match = re.fullmatch(
        r"Is the (.+) (to the left|above) or (?:to the right of|below) the (.+)\?", turn.question
    )
    if match:
        one, other = (next(e for e in scene.entities if noun(e.label) == match[i]) for i in (1, 3))
        axis = 0 if match[2] == "to the left" else 1
        before = one.box.center[axis] < other.box.center[axis]
        assert turn.answer in (
            ("To the left.", "Above.") if before else ("To the right.", "Below.")
        )
    return bool(match)


def check_kind(scene: Scene, turn: Turn) -> bool:
    color = re.fullmatch(r"What color is the (.+)\?", turn.question)
    label = re.fullmatch(r"(?:What|Which) (\w+) (?:is in the image|can you see)\?", turn.question)
    match = color or label
    if match and match[1] != "background":
        (only,) = (e for e in scene.entities if match[1] in (e.label, e.attributes["category"]))
        expected = only.attributes["color"] if color else only.label
        assert turn.answer.lower().rstrip(".").split()[-1] == expected
    return bool(match)


def check_count(scene: Scene, turn: Turn) -> bool:
    match = re.fullmatch(r"How many (.+) are (?:there|in the image)\?", turn.question)
    if match:
        counted = [e for e in scene.entities if match[1] in ("objects", plural(e.label))]
        assert turn.answer == NUMBERS[len(counted)].capitalize() + "."
    return bool(match)


def check_caption(scene: Scene, turn: Turn) -> bool:
    asked = turn.question in wording.CAPTION_QUESTIONS
    if asked:
        assert turn.answer == scene.captions[0]
    return asked


CHECKS = (check_presence, check_position, check_relation, check_kind, check_count, check_caption)


@pytest.mark.parametrize("teacher", [TEACHER, EVERYTHING])
def test_conversations_are_true(teacher: RuleTeacher) -> None:
    seen = Counter()
    for scene in drawn_scenes(120):
        turns = teacher.turns(scene, "conversation", 0)
        for turn in turns:
            sorts = [check.__name__ for check in CHECKS if check(scene, turn)]
            assert len(sorts) == 1, turn
            seen.update(sorts)
        assert len({turn.question for turn in turns}) == len(turns)
    assert set(seen) >= {"check_presence", "check_position", "check_kind"}


def test_conversations_about_photos_are_true(shared_data: Path) -> None:
    lines = (shared_data / "coco_bench" / "caps_boxes_coco2014_val_80.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    labels = tuple({instance["category"] for row in rows for instance in row["instances"]})
    told = 0
    for row in rows:
        entities = tuple(
            Entity(i["category"], Box(*map(float, i["bbox"]))) for i in row["instances"]
        )
        scene = scene_of(
            id=row["id"],
            texts=tuple(row["captions"]),
            entities=entities,
            exhaustive=Exhaustive(labels),
        )
        for turn in EVERYTHING.turns(scene, "conversation", 0):
            assert sum(check(scene, turn) for check in CHECKS) == 1, turn
            told += 1
    assert told > 300


def test_presence_is_balanced() -> None:
    answers = Counter(
        turn.answer
        for scene in drawn_scenes(100)
        for turn in RuleTeacher({"presence": 2}).turns(scene, "conversation", 0)
    )
    assert answers == {"Yes.": 100, "No.": 100}


def test_the_same_seed_writes_the_same_and_another_seed_something_else() -> None:
    scene = drawn_scenes(12)[-1]
    for response in ("conversation", "detail", "complex"):
        assert TEACHER.turns(scene, response, 4) == TEACHER.turns(scene, response, 4)
        assert len({tuple(TEACHER.turns(scene, response, seed)) for seed in range(20)}) > 1


def test_only_the_order_of_a_reasoning_and_its_answer_changes() -> None:
    other = RuleTeacher(reasoning="before")
    for scene in drawn_scenes(20):
        for response in ("conversation", "detail"):
            assert other.turns(scene, response, 0) == TEACHER.turns(scene, response, 0)
        (after,), (before,) = (t.turns(scene, "complex", 0) for t in (TEACHER, other))
        assert after.question == before.question and after.answer != before.answer
        assert sorted(after.answer.split()) == sorted(before.answer.split())


def test_unknown_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="poetry"):
        RuleTeacher({"poetry": 1})


def test_details_name_everything_and_place_it_right() -> None:
    for scene in drawn_scenes(100):
        (turn,) = TEACHER.turns(scene, "detail", 1)
        assert turn.question in wording.DETAIL_QUESTIONS["image"]
        counts = Counter(entity.label for entity in scene.entities)
        opening = turn.answer.split(". ")[0].rstrip(".")
        for label, count in counts.items():
            assert (label if count == 1 else f"{NUMBERS[count]} {plural(label)}") in opening
        for entity in scene.entities:
            if counts[entity.label] == 1:
                color = entity.attributes.get("color")
                name = f"{color} {entity.label}" if color else entity.label
                assert f"The {name} is {place(entity.box)}." in turn.answer
        for one, side, other in re.findall(
            r"The (\w+) is (to the left of|to the right of|above|below) the (\w+)\.", turn.answer
        ):
            a, b = (
                next(e for e in scene.entities if e.label == n).box.center for n in (one, other)
            )
            assert {
                "to the left of": a[0] < b[0],
                "to the right of": a[0] > b[0],
                "above": a[1] < b[1],
                "below": a[1] > b[1],
            }[side]


@pytest.mark.parametrize(
    ("center", "words"),
    [
        ((0.2, 0.2), "at the top left"),
        ((0.5, 0.8), "at the bottom"),
        ((0.8, 0.5), "on the right"),
        ((0.5, 0.5), "in the middle"),
    ],
)
def test_places(center: tuple[float, float], words: str) -> None:
    x, y = center
    assert place(Box(x - 0.1, y - 0.1, x + 0.1, y + 0.1)) == words


def test_a_photo_is_described_by_its_caption_too() -> None:
    scene = scene_of(("dog", 0.2, 0.2), complete=False, texts=("A dog.", "A dog waits by a door."))
    (turn,) = TEACHER.turns(scene, "detail", 0)
    assert turn.answer.startswith("A dog waits by a door. The image shows a dog.")


def test_nothing_is_said_of_an_empty_scene() -> None:
    empty = scene_of(texts=())
    assert TEACHER.turns(empty, "detail", 0) == []
    assert TEACHER.turns(empty, "complex", 0) == []
    assert all(turn.answer == "No." for turn in TEACHER.turns(empty, "conversation", 0))


def test_an_absent_label_is_only_denied_where_the_annotation_is_exhaustive() -> None:
    scene = replace(scene_of(("dog", 0.5, 0.5)), exhaustive=Exhaustive())
    turns = RuleTeacher({"presence": 4}).turns(scene, "conversation", 0)
    assert [turn.answer for turn in turns] == ["Yes."]


def test_crowds_do_not_break_the_teacher() -> None:
    crowd = Entity("person", Box(0.0, 0.0, 1.0, 1.0), {"category": "person"}, crowd=True)
    scene = scene_of(entities=(crowd,), complete=False)
    for response in ("conversation", "detail", "complex"):
        for turn in TEACHER.turns(scene, response, 0):
            assert "one person" not in turn.answer.lower()
    assert facts.count_facts(scene) == []
