"""A conversation: what it remembers, and what begins it anew."""

from collections.abc import Sequence

import pytest

from llava_jax.inference.chat import Chat
from llava_jax.inference.engine import Engine, Request
from llava_jax.text.templates import ASSISTANT, IMAGE, USER, Turn
from tests.inference import tiny

NEW = 6
FIRST: Turn = (USER, [IMAGE, "\n", "What?"])


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny.engine()


@pytest.fixture
def chat(engine: Engine) -> Chat:
    return Chat(engine, images=[tiny.picture(1)], max_new_tokens=NEW)


def say(chat: Chat, text: str) -> str:
    return "".join(chat.say(text))


def answer(engine: Engine, turns: Sequence[Turn], image: int = 1, system: str | None = None) -> str:
    request = Request(turns, [tiny.picture(image)], system, max_new_tokens=NEW)
    return engine.generate([request])[0].text


def test_each_question_is_asked_after_all_before_it(engine: Engine, chat: Chat):
    first, second = say(chat, "What?"), say(chat, "Why?")
    assert first == answer(engine, [FIRST])
    assert second == answer(engine, [FIRST, (ASSISTANT, first), (USER, "Why?")])


def test_a_new_beginning_keeps_image_and_system_prompt(engine: Engine, chat: Chat):
    chat.instruct("Be brief.")
    first = say(chat, "What?")
    assert first == answer(engine, [FIRST], system="Be brief.")
    assert first != answer(engine, [FIRST])
    chat.reset()
    assert say(chat, "What?") == first


def test_another_image_begins_anew(engine: Engine, chat: Chat):
    first = say(chat, "What?")
    chat.show(tiny.picture(2))
    assert say(chat, "What?") == answer(engine, [FIRST], image=2) != first


def test_an_added_image_stands_in_front_of_the_next_question(engine: Engine, chat: Chat):
    first = say(chat, "What?")
    chat.add(tiny.picture(2))
    second = say(chat, "What?")
    turns: list[Turn] = [FIRST, (ASSISTANT, first), FIRST]
    request = Request(turns, [tiny.picture(1), tiny.picture(2)], max_new_tokens=NEW)
    assert second == engine.generate([request])[0].text
    chat.reset()
    assert say(chat, "What?") == first


def test_without_an_image_it_talks_of_none(engine: Engine):
    request = Request([(USER, "<image>?")], max_new_tokens=NEW)
    assert say(Chat(engine, max_new_tokens=NEW), "<image>?") == engine.generate([request])[0].text


def test_an_answer_that_was_not_read_to_its_end_is_forgotten(engine: Engine, chat: Chat):
    stream = chat.say("Tell me everything.")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert say(chat, "What?") == answer(engine, [FIRST])
