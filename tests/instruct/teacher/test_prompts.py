"""Prompts: what a teacher reads, and that the examples in them are what it shall write."""

import re

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.grounding.check import check
from llava_jax.instruct.scene import Exhaustive, Modality
from llava_jax.instruct.teacher.prompts import EXAMPLES, messages, prompt_hash
from llava_jax.instruct.teacher.responses import read
from llava_jax.instruct.turns import RESPONSES, Request
from tests.instruct.drawn import scene_of

KINDS = [(modality, kind) for modality in RESPONSES for kind in RESPONSES[modality]]
BOX = re.compile(r"\[\d")


@pytest.mark.parametrize(("modality", "kind"), KINDS)
def test_a_prompt_of_every_kind(modality: Modality, kind: str) -> None:
    example, *_ = EXAMPLES[modality]
    system, *shots, user = messages(Request(example.scene, kind))
    assert system.role == "system"
    assert [shot.role for shot in shots] == ["user", "assistant"] * len(EXAMPLES[modality])
    assert (user.role, user.content) == ("user", shots[0].content)
    assert "{" not in system.content


@pytest.mark.parametrize(("modality", "kind"), KINDS)
def test_examples_read_back_as_their_turns(modality: Modality, kind: str) -> None:
    for example in EXAMPLES[modality]:
        assert example.scene.modality == modality
        request = Request(example.scene, kind)
        written = messages(request)[2 + 2 * EXAMPLES[modality].index(example)].content
        reading = read(request, written)
        assert [turn.answer for turn in reading.turns] == [
            turn.answer for turn in example.responses[kind]
        ]
        said = " ".join(f"{t.question} {t.answer}" for t in example.responses[kind])
        assert not re.search(r"\b(caption|box|boxes|coordinate|notes?|list(ed)?)\b|\[", said)


@pytest.mark.parametrize("modality", EXAMPLES)
def test_examples_are_grounded(modality: Modality) -> None:
    for example in EXAMPLES[modality]:
        for turns in example.responses.values():
            findings = check(example.scene, turns)
            assert not [f for f in findings if f.verdict in ("fail", "warn")]


def test_faithful_conversations_see_captions_only() -> None:
    scene = scene_of(("dog", 0.2, 0.2), texts=("One.", "Two."))
    prompts = {kind: messages(Request(scene, kind), faithful=True) for kind in RESPONSES["image"]}
    assert prompts["conversation"][-1].content == "One.\nTwo."
    assert not any(BOX.search(m.content) for m in prompts["conversation"] if m.role == "user")
    for kind in ("detail", "complex"):
        assert prompts[kind][-1].content == "One.\nTwo.\n\ndog: [0.15, 0.15, 0.25, 0.25]"
    assert "box" not in prompts["conversation"][0].content.replace("boxes or lists", "")


def test_faithful_is_of_images() -> None:
    (video, *_) = EXAMPLES["video"]
    with pytest.raises(UserError, match="for images only"):
        messages(Request(video.scene, "detail"), faithful=True)


def test_what_is_certain_is_said() -> None:
    labels = ("dog", "cat", "car")
    scene = scene_of(("dog", 0.2, 0.2), exhaustive=Exhaustive(labels))
    *symbols, certain = messages(Request(scene, "conversation"))[-1].content.split("\n\n")
    assert BOX.search(symbols[-1])
    assert certain == "Every one is listed of: dog. Certainly not there: car, cat."


def test_what_is_left_out_is_said_and_nothing_called_complete() -> None:
    scene = scene_of(("dog", 0.2, 0.2), ("dog", 0.8, 0.2))
    content = messages(Request(scene, "conversation"), budget=12)[-1].content
    assert content.endswith(
        "Left out for length: 1 of 2 objects. Certainly not there: apple, car, cat."
    )


def test_the_hash_is_of_what_is_sent() -> None:
    scene = scene_of(("dog", 0.2, 0.2))
    hashes = {
        prompt_hash(messages(Request(scene, kind), faithful))
        for kind in RESPONSES["image"]
        for faithful in (False, True)
    }
    assert len(hashes) == 6
    again = prompt_hash(messages(Request(scene, "detail", seed=0)))
    assert again in hashes and len(again) == 64
