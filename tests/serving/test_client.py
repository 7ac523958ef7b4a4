"""OpenAI's own client: whole and streamed, alone and many at once, with images and without."""

import asyncio
from typing import Any

import openai
import pytest

from llava_jax.inference.engine import Answer, Request
from llava_jax.inference.sampling import SamplingParams
from llava_jax.text.templates import ASSISTANT, IMAGE, USER
from tests.inference import tiny
from tests.serving.live import MODEL, Live, data_uri, encoded, image_part, picture, text, user

GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 12}
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [
    user("What is <image> here?</s>", picture(1)),
    {"role": "assistant", "content": "A bus."},
    user(picture(2), "And", picture(3), "?"),
]
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [user("Hi")],
    [user(text("Say it"), text("twice"))],
    [SYSTEM, user(picture(1), "What?")],
    TALK,
    [{"role": "system", "content": ""}, user(picture(4))],
]


def image(seed: int) -> bytes:
    return encoded(tiny.picture(seed))


def requests() -> list[Request]:
    """The conversations as the engine takes them."""
    same: dict[str, Any] = {"max_new_tokens": 12}
    first = (USER, [IMAGE, "\n", "What is <image> here?</s>"])
    last = (USER, [IMAGE, "\n", "And", "\n", IMAGE, "\n", "?"])
    return [
        Request([(USER, "Hi")], **same),
        Request([(USER, "Say it\ntwice")], **same),
        Request([(USER, [IMAGE, "\n", "What?"])], [image(1)], "Be brief.", **same),
        Request([first, (ASSISTANT, "A bus."), last], [image(1), image(2), image(3)], **same),
        Request([(USER, [IMAGE, "\n", ""])], [image(4)], "", **same),
    ]


@pytest.fixture(scope="module")
def expected(live: Live) -> list[Answer]:
    return live.engine.generate(requests(), slots=2)


def test_answers_are_the_engine_s(live: Live, expected: list[Answer]):
    assert len({answer.text for answer in expected}) == len(expected)
    for messages, answer in zip(CONVERSATIONS, expected, strict=True):
        got = live.client().chat.completions.create(messages=messages, **GREEDY)
        (choice,) = got.choices
        assert (choice.message.content, choice.finish_reason) == (answer.text, answer.ended)
        assert (choice.message.role, choice.index, got.model) == ("assistant", 0, MODEL)
        assert got.usage.prompt_tokens == answer.prompt_tokens
        assert got.usage.completion_tokens == len(answer.tokens)
        assert got.usage.total_tokens == answer.prompt_tokens + len(answer.tokens)


def test_an_image_counts_with_all_its_tokens(live: Live):
    def prompt_tokens(*parts: Any) -> int:
        got = live.client().chat.completions.create(messages=[user(*parts)], **GREEDY)
        return got.usage.prompt_tokens

    assert prompt_tokens("What?", picture(1)) == prompt_tokens("What?") + tiny.IMAGE_TOKENS + 1


def test_a_full_batch_is_streamed_the_same(live: Live, expected: list[Answer]):
    async def ask(client: openai.AsyncOpenAI, messages: list[Any]) -> tuple[str, Any, Any]:
        content, reason, usage = "", None, None
        stream = await client.chat.completions.create(
            messages=messages, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
        async for chunk in stream:
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reason = reason or choice.finish_reason
            usage = usage or chunk.usage
        return content, reason, usage

    async def ask_all() -> list[tuple[str, Any, Any]]:
        async with live.async_client() as client:
            return await asyncio.gather(*(ask(client, m) for m in CONVERSATIONS * 3))

    for got, answer in zip(asyncio.run(ask_all()), expected * 3, strict=True):
        content, reason, usage = got
        assert (content, reason) == (answer.text, answer.ended)
        assert usage.prompt_tokens == answer.prompt_tokens
        assert usage.completion_tokens == len(answer.tokens)


def test_an_asynchronous_client_gets_whole_answers(live: Live, expected: list[Answer]):
    async def ask() -> str | None:
        async with live.async_client() as client:
            got = await client.chat.completions.create(messages=CONVERSATIONS[2], **GREEDY)
            return got.choices[0].message.content

    assert asyncio.run(ask()) == expected[2].text


def test_choices_have_seeds_of_their_own(live: Live):
    drawn = GREEDY | {"temperature": 1.0, "top_p": 0.95}
    several = live.client().chat.completions.create(
        messages=CONVERSATIONS[2], n=3, seed=2**40 + 5, **drawn
    )
    contents = [choice.message.content for choice in several.choices]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert len(set(contents)) == 3
    request = requests()[2]
    for number, content in enumerate(contents):
        seed = 2**40 + 5 + number
        (alone,) = live.engine.generate(
            [
                Request(
                    request.turns,
                    request.images,
                    request.system,
                    SamplingParams(1.0, top_p=0.95, seed=seed),
                    12,
                )
            ]
        )
        assert content == alone.text
    assert several.usage.completion_tokens > several.usage.prompt_tokens / 10
    streamed = ["", "", ""]
    ended = set()
    for chunk in live.client().chat.completions.create(
        messages=CONVERSATIONS[2], n=3, seed=2**40 + 5, stream=True, **drawn
    ):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            ended |= {choice.index} if choice.finish_reason else set()
    assert streamed == contents and ended == {0, 1, 2}


def test_without_a_seed_answers_differ(live: Live):
    contents = {
        live.client()
        .chat.completions.create(model=MODEL, messages=[user("Hi")], max_tokens=20)
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(contents) > 1


def test_a_stop_string_ends_the_answer(live: Live, expected: list[Answer]):
    full = expected[0].text
    for stop in (full[3:5], ["never", full[3:5]]):
        got = live.client().chat.completions.create(messages=[user("Hi")], stop=stop, **GREEDY)
        assert got.choices[0].message.content == full[: full.index(full[3:5])].rstrip()
        assert got.choices[0].finish_reason == "stop"


def test_the_newer_name_of_the_limit_counts(live: Live):
    limits = {"max_completion_tokens": 2, "max_tokens": 9}
    got = live.client().chat.completions.create(messages=[user("Hi")], **GREEDY | limits)
    assert (got.usage.completion_tokens, got.choices[0].finish_reason) == (2, "length")


def test_without_a_limit_the_model_s_own_holds(live: Live):
    got = live.client().chat.completions.create(
        model=MODEL, messages=[user("Hi")], temperature=0, stop="\0never"
    )
    longest = live.engine.config.language.max_length
    assert got.choices[0].finish_reason == "stop" or got.usage.total_tokens == longest


def test_what_an_answer_carries_can_be_sent_back(live: Live):
    client = live.client()
    first = client.chat.completions.create(messages=[user("Hi")], **GREEDY)
    answer = first.choices[0].message.model_dump()
    got = client.chat.completions.create(messages=[user("Hi"), answer, user("So?")], **GREEDY)
    assert got.usage.prompt_tokens > first.usage.prompt_tokens


def test_an_idle_line_is_given_up_by_the_client_first(live: Live):
    """Else a request may be sent on a line that the server is just closing."""
    kept = openai.DEFAULT_CONNECTION_LIMITS.keepalive_expiry
    assert kept is not None and kept < live.server.config.timeout_keep_alive


def test_models_are_listed(live: Live):
    (model,) = live.client().models.list().data
    assert (model.id, model.object) == (MODEL, "model")
    assert live.client().models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        live.client().models.retrieve("other/model")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"messages": [user(image_part("data:image/png;base64,AAAA"))]}, "messages", "read"),
        ({"messages": [user("long " * 99)]}, "messages", "prompt takes"),
    ],
)
def test_the_client_raises_what_is_wrong(
    live: Live, stream: bool, change: dict[str, Any], param: str, message: str
):
    asked = GREEDY | {"messages": [user("Hi")], "stream": stream} | change
    with pytest.raises(openai.BadRequestError, match=message) as error:
        live.client().chat.completions.create(**asked)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"


def test_images_in_other_formats(live: Live):
    for form in ("JPEG", "WEBP", "GIF", "BMP"):
        image = image_part(data_uri(encoded(tiny.picture(5), form), f"image/{form.lower()}"))
        got = live.client().chat.completions.create(messages=[user(image, "What?")], **GREEDY)
        assert got.usage.completion_tokens
