import random

import pytest

from llava_jax.instruct.facts import image as facts
from llava_jax.instruct.facts.image import Fact
from llava_jax.instruct.teacher import wording
from tests.instruct.drawn import drawn_scenes


@pytest.mark.parametrize(
    ("fact", "question", "answer"),
    [
        (Fact("left", "dog", "apple"), "What is to the left of the dog?", "An apple."),
        (Fact("side", "dog", "left", "cat"), "left or to the right of the cat?", "To the left."),
        (Fact("height", "dog", "above", "cat"), "Is the dog above or below the cat?", "Above."),
        (Fact("color", "vehicle", "red"), "What color is the vehicle?", "Red."),
        (Fact("category", "animal", "owl"), "animal", "An owl."),
        (Fact("count", "bus", "3"), "How many buses are", "Three."),
        (Fact("total", "", "4"), "How many objects are", "Four."),
        (Fact("presence", "egg", "no"), "an egg", "No."),
        (Fact("background", "", "pink"), "What color is the background?", "Pink."),
    ],
)
def test_words_of_each_form(fact: Fact, question: str, answer: str) -> None:
    assert question in wording.question(fact, random.Random(0))
    assert wording.answer(fact) == answer


def test_every_form_of_fact_has_words() -> None:
    rng = random.Random(1)
    forms = set()
    for scene in drawn_scenes(60):
        found = facts.presence_facts(scene, scene.exhaustive.labels) + facts.position_facts(scene)
        found += facts.relation_facts(scene) + facts.kind_facts(scene) + facts.count_facts(scene)
        found += facts.background_facts(scene)
        for fact in found:
            forms.add(fact.form)
            assert wording.question(fact, rng).endswith("?")
            assert wording.answer(fact).endswith(".")
    assert forms == wording.QUESTIONS.keys()
