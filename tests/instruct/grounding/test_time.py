"""True statements about time pass, swapped ones fail, and what is not sure stays unknown."""

import random

import pytest

from llava_jax.instruct.facts.video import ordered_pairs
from llava_jax.instruct.grounding.finding import Rule
from llava_jax.instruct.grounding.time import lengths, moments, order
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn
from tests.instruct.filmed import DEEDS, invented_videos, video_of

SCENE = video_of(
    ("A man in a red shirt opens the fridge.", 1, 5),
    ("He pours milk into a bowl.", 6, 12),
    ("A woman peels two carrots.", 14, 25),
    ("The dog sleeps on the rug.", 0, 58),
)


def verdicts(rule: Rule, answer: str, scene: Scene = SCENE) -> list[str]:
    findings = rule(scene, [Turn("What happens?", answer)])
    for finding in findings:
        assert answer[finding.span.start : finding.span.end] == finding.text
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize(
    "answer",
    [
        "The man opens the fridge before he pours milk into a bowl.",
        "After the man opened the fridge, a woman peeled carrots.",
        "The woman peels two carrots right after he pours the milk.",
        "Before peeling two carrots, a man opens the fridge.",
        "First, the man opens the fridge. Then he pours milk into a bowl.",
        "A man opens the fridge and then pours milk.",
        "The man opens the fridge, followed by a woman peeling carrots.",
        "He pours milk into a bowl. Finally, a woman peels two carrots.",
        "He pours milk while the dog sleeps on the rug.",
        "While the dog sleeps on the rug, a woman peels carrots.",
    ],
)
def test_what_is_so_passes(answer: str) -> None:
    assert verdicts(order, answer) == ["pass"]


@pytest.mark.parametrize(
    "answer",
    [
        "The man pours milk into a bowl before he opens the fridge.",
        "After a woman peeled carrots, the man opened the fridge.",
        "First, a woman peels two carrots. Next, he pours milk.",
        "A woman peels carrots, and then the man opens the fridge.",
        "A woman peels carrots while the man opens the fridge.",
    ],
)
def test_what_is_the_other_way_round_fails(answer: str) -> None:
    assert verdicts(order, answer) == ["fail"]


@pytest.mark.parametrize(
    "answer",
    [
        "If the man pours milk before he opens the fridge, it spills.",
        "The man could pour milk into a bowl before he opens the fridge.",
        "The man did not pour milk into a bowl before he opened the fridge.",
        "The man eats a pizza before he opens the fridge.",
        "The man pours milk before the dog sleeps on the rug.",  # it sleeps all the time
        "The man opens the fridge before he opens the fridge in a red shirt.",
    ],
)
def test_what_is_not_sure_is_unknown(answer: str) -> None:
    assert verdicts(order, answer) == ["unknown"]


@pytest.mark.parametrize(
    "answer",
    [
        "A woman peels two carrots next to the man.",
        "The dog runs after the man in a red shirt.",
        "The man stands before it.",
        "The man opens the fridge and pours milk.",
    ],
)
def test_what_says_nothing_of_time_has_no_finding(answer: str) -> None:
    assert verdicts(order, answer) == []


def test_a_sentence_that_turns_time_around_is_nothing_to_go_on_from() -> None:
    answer = "He pours milk after the man opens the fridge. Then the man opens the fridge."
    assert verdicts(order, answer) == ["pass"]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("At the beginning of the video, a man opens the fridge.", "pass"),
        ("The video starts with a man opening the fridge.", "pass"),
        ("A man opens the fridge at the end of the clip.", "fail"),
        ("At the end, the man opens the fridge.", "fail"),
        ("The video ends with the dog sleeping on the rug.", "pass"),
        ("A woman peels carrots at the start of the video.", "unknown"),  # at 14 of 60 s
        ("At 3 seconds, a man opens the fridge.", "pass"),
        ("A woman peels two carrots at the 2-second mark.", "fail"),
        ("Around 0:15, a woman peels two carrots.", "pass"),
        ("A woman peels two carrots at 26.5 s.", "unknown"),
        ("Perhaps a woman peels two carrots at 50 seconds.", "unknown"),
        ("A bird flies past at 3 seconds.", "unknown"),
    ],
)
def test_moments(answer: str, verdict: str) -> None:
    assert verdicts(moments, answer) == [verdict]


def test_the_end_of_a_table_is_no_moment() -> None:
    assert verdicts(moments, "A man opens the fridge at the end of the table.") == []


def test_a_video_of_unknown_length_has_no_known_end() -> None:
    scene = video_of(("A man opens the fridge.", 1, 5), duration=0.0)
    answer = "At the end of the video, a man opens the fridge."
    assert verdicts(moments, answer, scene) == ["unknown"]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("The woman peels carrots for eleven seconds.", "pass"),
        ("The man opens the fridge for about 20 seconds.", "fail"),
        ("He pours milk into a bowl for 8 seconds.", "unknown"),
        ("The dog sleeps on the rug for 1 minute.", "unknown"),
        ("The man would pour milk into a bowl for 50 seconds.", "unknown"),
        ("The man waits for 20 seconds.", "unknown"),
    ],
)
def test_lengths(answer: str, verdict: str) -> None:
    assert verdicts(lengths, answer) == [verdict]


def test_scenes_without_events_have_no_findings() -> None:
    for rule in (order, moments, lengths):
        assert verdicts(rule, "The man pours milk before he sits, for 5 seconds.", video_of()) == []


_TOLD = (
    "{} before {}.",
    "After {}, {}.",
    "First, {}. Then {}.",
    "{}, and then {}.",
    "{}. Afterwards, {}.",
    "In this video {}, and finally, {}.",
)


def test_swapped_orders_are_rejected() -> None:
    """At least 95% of the order claims of invented videos, and no true one."""
    rng, told = random.Random(1), dict(DEEDS)
    true, swapped = [], []
    for scene in invented_videos(20):
        for first, second in ordered_pairs(scene):
            pair = [told[first.text], told[second.text]]
            form = rng.choice(_TOLD)
            true += verdicts(order, form.format(*pair), scene)
            swapped += verdicts(order, form.format(*reversed(pair)), scene)
    assert len(true) > 100
    assert "fail" not in true
    assert swapped.count("fail") >= 0.95 * len(swapped)
