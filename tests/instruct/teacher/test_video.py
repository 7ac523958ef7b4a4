"""Turns about videos: certain, in good English, and passed by the checks."""

import random

from llava_jax.instruct.grounding.check import check
from llava_jax.instruct.scene import Entity, Event, Scene
from llava_jax.instruct.teacher.rules import RuleTeacher
from llava_jax.instruct.teacher.video import conversation, detail, temporal
from llava_jax.instruct.turns import RESPONSES, Request, Turn
from tests.instruct.filmed import during, invented_videos, track_of, video_of

SCENE = video_of(
    entities=(Entity("person", id="p"), Entity("dog", id="d")),
    events=(
        Event("The rain falls.", during(0, 30)),
        Event("wash a dish", during(2, 6), ("p",)),
        Event("watch/look at a picture", during(8, 9), ("p",)),
        Event("hold a dish", during(3, 5), ("p",)),
        Event("Ben sings.", during(50, 50)),
    ),
    tracks=(
        track_of("d", (0.2, 0.5), (0.5, 0.5), sizes=(0.2, 0.3)),
        track_of("p", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
    ),
)


def test_a_story_says_then_only_where_that_is_certain() -> None:
    (turn,) = detail(SCENE, random.Random(0))
    assert turn.answer == (
        "The rain falls. At the same time, the person washes a dish. "
        "At the same time, the person holds a dish. Then the person looks at a picture. "
        "Then Ben sings. The dog moves to the right and comes closer to the camera. "
        "The person stays where it is."
    )


def test_the_longest_certain_order_is_told_with_its_times() -> None:
    order, together = temporal(SCENE, random.Random(0))
    assert order.answer == (
        "First, the person holds a dish, from about 3 to 5 s. "
        "Then the person looks at a picture, from about 8 to 9 s. Then Ben sings, at about 50 s. "
        "Each of these begins only when the one before it is over."
    )
    assert together in (
        Turn(
            "What happens while the person washes a dish?",
            "While the person washes a dish, the person holds a dish.",
        ),
        Turn(
            "What happens while the rain falls?",
            "While the rain falls, the person washes a dish, the person holds a dish and "
            "the person looks at a picture.",
        ),
    )


def test_a_conversation_has_turns_of_each_sort() -> None:
    turns = conversation(SCENE, random.Random(0))
    assert len(turns) == 6
    assert {turn.question.split()[0] for turn in turns} == {"Which", "When", "How"}


def test_what_is_worded_alike_is_not_asked_about() -> None:
    scene = video_of(("A man sings.", 0, 5), ("A man sings.", 10, 15))
    assert conversation(scene, random.Random(0)) == []
    assert temporal(scene, random.Random(0)) == []
    assert detail(video_of(), random.Random(0)) == []


def test_the_checks_pass_what_the_rules_write() -> None:
    scenes = [SCENE, *invented_videos(3)]
    requests = [Request(scene, kind) for scene in scenes for kind in RESPONSES["video"]]
    judged = []
    for response in RuleTeacher().respond(requests):
        assert response.turns
        judged += check(response.request.scene, response.turns)
    order = [finding.verdict for finding in judged if finding.rule == "order"]
    assert order.count("pass") > 0.9 * len(order)
    assert [finding for finding in judged if finding.verdict == "fail"] == []


def test_the_same_seed_writes_the_same() -> None:
    def written(scene: Scene) -> list[tuple]:
        requests = [Request(scene, kind, seed=3) for kind in RESPONSES["video"]]
        return [response.turns for response in RuleTeacher().respond(requests)]

    assert written(SCENE) == written(SCENE)
