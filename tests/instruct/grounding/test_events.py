"""Which event a clause means, and when that is in doubt."""

import pytest

from llava_jax.instruct.grounding.events import content, event_meant, stem
from tests.instruct.filmed import video_of

EVENTS = video_of(
    ("A man in a red shirt opens the white fridge.", 1, 5),
    ("The man pours milk into a bowl.", 6, 9),
    ("The man pours juice into a cup.", 10, 12),
    ("The man's dog sleeps.", 0, 12),
).events


@pytest.mark.parametrize(
    "forms",
    [
        "pour pours poured pouring",
        "slice slices sliced slicing",
        "run runs ran running",
        "carry carries carried carrying",
        "tie ties tied tying",
        "take takes took taken taking",
        "wash washes washed washing",
        "pass passes passed passing",
        "shoe shoes",
        "box boxes",
        "woman women",
    ],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


def test_different_words_keep_different_stems() -> None:
    words = "run rub ride read pour pot shoe show bring bread string sting sit set"
    assert len({stem(word) for word in words.split()}) == 14


@pytest.mark.parametrize(
    ("clause", "number"),
    [
        ("the man opened the fridge", 0),
        ("opening the fridge", 0),
        ("he pours milk", 1),
        ("a man is pouring the juice", 2),
        ("the dog slept", 3),
        ("the man pours", None),  # milk or juice?
        ("the man", None),
        ("the fridge", None),  # one word is too little
        ("the man closes the fridge door quietly", None),
        ("a cat climbs a tree", None),
        ("", None),
    ],
)
def test_only_a_unique_match_is_meant(clause: str, number: int | None) -> None:
    meant = event_meant(clause.split(), EVENTS)
    assert meant == (None if number is None else EVENTS[number])


def test_events_told_alike_cannot_be_told_apart() -> None:
    twice = video_of(("hold a dish", 1, 2), ("hold a dish", 5, 6), ("wash a cup", 3, 4)).events
    assert event_meant(("holds", "a", "dish"), twice) is None
    assert event_meant(("washes", "a", "cup"), twice) == twice[2]


def test_function_words_say_nothing() -> None:
    assert content(("then", "he", "was", "in", "the", "video", "2")) == frozenset()
