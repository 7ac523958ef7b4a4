import random

import pytest

from llava_jax.evaluation.probes import Figure, Probe
from llava_jax.evaluation.scoring import score, words_in
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.nouns import NUMBERS
from llava_jax.instruct.teacher.reasoning import REASONINGS, Place
from tests.instruct.drawn import drawn_scenes

LABELS = ("dog", "hot dog", "bus", "bicycle", "person", "wine glass", "tv", "fish", "cat")


def probe(figure: Figure, truth: str, choices: tuple[str, ...], given: str = "") -> Probe:
    return Probe("1", "1.jpg", figure, figure, "?", tuple(truth.split("+")), choices, (given,))


@pytest.mark.parametrize(
    ("answer", "truth", "correct", "parsed"),
    [
        ("Yes.", "yes", True, True),
        ("yes, there is no doubt", "yes", True, True),
        (" No, I see none.", "no", True, True),
        ("No.", "yes", False, True),
        ("There is.", "yes", False, False),
        ("Not at all", "no", False, False),
        ("", "no", False, False),
    ],
)
def test_presence(answer: str, truth: str, correct: bool, parsed: bool) -> None:
    verdict = score(probe("presence", truth, ("yes", "no")), answer)
    assert (verdict.correct, verdict.parsed) == (correct, parsed)


@pytest.mark.parametrize(
    ("answer", "correct", "parsed"),
    [
        ("Three.", True, True),
        ("There are 3 dogs and two cats.", True, True),
        ("Two, no, three", False, True),
        ("13", False, False),
        ("many", False, False),
    ],
)
def test_counts(answer: str, correct: bool, parsed: bool) -> None:
    verdict = score(probe("count", "three", NUMBERS), answer)
    assert (verdict.correct, verdict.parsed) == (correct, parsed)


@pytest.mark.parametrize(
    ("answer", "correct", "parsed"),
    [
        ("A bicycle.", True, True),
        ("The bike is to the left of the dog.", True, True),
        ("Two bicycles", True, True),
        ("A bicycle and a bus.", False, True),
        ("A dog.", False, False),  # only repeats the question
        ("Something red.", False, False),
    ],
)
def test_positions(answer: str, correct: bool, parsed: bool) -> None:
    verdict = score(probe("position", "bicycle", LABELS, given="dog"), answer)
    assert (verdict.correct, verdict.parsed) == (correct, parsed)


REASONS = "The dog is to the left of the cat."


@pytest.mark.parametrize(
    ("answer", "correct", "parsed"),
    [
        (f"The ant reaches the dog first. {REASONS}", True, True),
        (f"{REASONS} The ant reaches the dog first.", True, True),
        (f"{REASONS} The ant reaches the cat first.", False, True),
        ("The ant reaches the dog or the cat first.", False, True),
        ("It reaches it first: the dog.", False, False),
        (REASONS, False, False),  # cut off before the answer
    ],
)
def test_reasonings_are_read_where_they_say_the_answer(
    answer: str, correct: bool, parsed: bool
) -> None:
    asked = Probe("1", "1.jpg", "reasoning", "", "?", ("dog",), ("cat", "dog"), cue="first")
    verdict = score(asked, answer)
    assert (verdict.correct, verdict.parsed) == (correct, parsed)


@pytest.mark.parametrize("place", ["after", "before"])
def test_the_teachers_reasonings_are_right_in_both_orders(place: Place) -> None:
    labels = tuple(KINDS)
    for scene in drawn_scenes(60):
        for form, ask in REASONINGS.items():
            if found := ask(scene, random.Random(0)):
                choices = found.options or labels
                asked = Probe(
                    "1", "1.jpg", "reasoning", form, "?", (found.truth,), choices, cue=found.cue
                )
                assert score(asked, found.turn(place).answer).correct, found


def test_captions_count_hits() -> None:
    verdict = score(probe("caption", "bus+dog+fish", LABELS), "Two dogs, a dog, a cat and fish.")
    assert (verdict.hits, len(verdict.claimed), len(verdict.truth)) == (2, 3, 3)
    assert not verdict.correct


def test_words_are_whole_and_longest_first() -> None:
    assert words_in("Hot dogs, wine glasses, people; a catalogue", LABELS) == [
        "hot dog",
        "wine glass",
        "person",
    ]
    assert words_in("A television and two buses", LABELS) == ["tv", "bus"]
    assert words_in("A GREY cat", ("gray", "orange")) == ["gray"]


def test_a_choices_own_name_wins_over_a_synonym() -> None:
    assert words_in("a ship", ("boat", "ship")) == ["ship"]
    assert words_in("a ship", ("boat",)) == ["boat"]


def test_drawn_captions_read_back_as_their_scenes() -> None:
    for scene in drawn_scenes(80):
        labels = {entity.label for entity in scene.entities}
        for caption in scene.captions[:2]:
            assert set(words_in(caption, tuple(KINDS))) == labels
