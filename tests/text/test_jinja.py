"""The Jinja text writes what our own templates write."""

import jinja2
import pytest

from llava_jax.errors import UserError
from llava_jax.text.jinja import chat_template
from llava_jax.text.templates import (
    ASSISTANT,
    IMAGE,
    TEMPLATES,
    USER,
    get_template,
    render,
    with_images,
)

NAMES = sorted({t.name for t in TEMPLATES.values() if not (t.examples or t.caption_only)})
QUESTIONS, ANSWERS = ["What is\nin it?", 'And "what" colour, {{ so }}?'], ["A cat.", "Grey."]


def written(name: str, turns: list, system: str | None = None) -> str:
    spans = render(get_template(name), turns, system=system)
    return "".join("<image>" if span.part == IMAGE else str(span.part) for span in spans)


def messages(answers: int, system: str | None = None) -> list[dict]:
    first = [{"type": "image"}, {"type": "text", "text": QUESTIONS[0]}]
    said = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": [{"type": "text", "text": ANSWERS[0]}]},
        {"role": "user", "content": QUESTIONS[1]},
        {"role": "assistant", "content": ANSWERS[1]},
    ][: 2 + answers]
    return said if system is None else [{"role": "system", "content": system}, *said]


def turns(last: str | None) -> list:
    return [
        (USER, with_images(QUESTIONS[0], 1)),
        (ASSISTANT, ANSWERS[0]),
        (USER, QUESTIONS[1]),
        (ASSISTANT, last),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_and_a_prompt_are_the_same_text(name: str):
    jinja = jinja2.Environment().from_string(chat_template(get_template(name)))
    whole = jinja.render(messages=messages(2), add_generation_prompt=False)
    prompt = jinja.render(messages=messages(1), add_generation_prompt=True)
    assert whole == written(name, turns(ANSWERS[1]))
    assert prompt == written(name, turns(None))


def test_a_system_message_replaces_the_default():
    jinja = jinja2.Environment().from_string(chat_template(get_template("vicuna_v1")))
    text = jinja.render(messages=messages(1, "Be brief."), add_generation_prompt=True)
    assert text == written("vicuna_v1", turns(None), system="Be brief.")


def test_a_template_with_examples_is_refused():
    with pytest.raises(UserError, match="begins with examples"):
        chat_template(get_template("v0"))
