"""From a chat request to what the engine takes."""

import secrets
from dataclasses import replace

from llava_jax.inference.answers import Prompt
from llava_jax.inference.engine import Request
from llava_jax.inference.sampling import SamplingParams
from llava_jax.serving.errors import ApiError
from llava_jax.serving.protocol import ChatRequest, ImagePart, Message, TextPart
from llava_jax.text.templates import IMAGE, Content, Turn, with_images

MOST_IMAGES = 16
TOO_LONG = "context_length_exceeded"
_LONGEST_TOKEN = 64  # characters; a text that is longer still is not even made tokens
_GREEDY = 1e-4  # temperatures below draw the likeliest token anyhow, or overflow
_SMALLEST_TOP_P = 1e-6  # OpenAI's top_p of 0: the likeliest token


def image_urls(asked: ChatRequest) -> list[str]:
    """Of all messages, in order.

    Raises:
      ApiError: 400 for images that are not the user's, or too many.
    """
    urls = []
    for number, message in enumerate(asked.messages):
        for part in message.parts:
            if isinstance(part, TextPart):
                continue
            if message.role != "user":
                raise _misplaced(number, "only user messages may hold images")
            urls.append(part.image_url.url)
    if len(urls) > MOST_IMAGES:
        raise ApiError(400, f"A request may hold {MOST_IMAGES} images.", param="messages")
    return urls


def to_request(asked: ChatRequest, images: list[bytes], longest: int) -> Request:
    """What the engine is asked.

    longest: tokens that the model reads and writes in all.

    Raises:
      ApiError: 400 for limits and texts beyond that, and for messages in no order that a template
        knows.
    """
    _check_lengths(asked, longest)
    system, turns = _split(asked.messages)
    sampling = SamplingParams(
        temperature=asked.temperature if asked.temperature >= _GREEDY else 0.0,
        top_p=max(asked.top_p, _SMALLEST_TOP_P),
        seed=secrets.randbits(32) if asked.seed is None else asked.seed,
        logprobs=asked.logprobs,
    )
    return Request(turns, images, system, sampling, asked.longest or longest, asked.stops)


def _check_lengths(asked: ChatRequest, longest: int) -> None:
    """Raises ApiError, 400, for answers or texts that the model cannot have."""
    if (asked.longest or 1) > longest:
        raise ApiError(
            400,
            f"max_tokens is too large: {asked.longest}. This model supports at most {longest}.",
            param="max_tokens",
            code="invalid_value",
        )
    characters = sum(len(_text(message)) for message in asked.messages)
    if characters > _LONGEST_TOKEN * longest:
        raise ApiError(
            400,
            f"The messages have {characters} characters, and this model reads {longest} tokens.",
            param="messages",
            code=TOO_LONG,
        )


def with_seed(prompt: Prompt, number: int) -> Prompt:
    """The prompt of a request's choice of that number: its seed is that much greater."""
    seed = prompt.sampling.seed + number
    return replace(prompt, sampling=replace(prompt.sampling, seed=seed))


def _split(messages: list[Message]) -> tuple[str | None, list[Turn]]:
    """The system prompt, None where nothing is said, and the turns of user and assistant."""
    instructions = []
    for message in messages:
        if message.role in ("user", "assistant"):
            break
        instructions.append(_text(message))
    turns: list[Turn] = []
    for number, message in enumerate(messages[len(instructions) :], len(instructions)):
        if message.role not in ("user", "assistant"):
            raise _misplaced(number, "system messages stand before all others")
        turns.append((message.role, _content(message)))
    if not turns or turns[-1][0] != "user":
        raise _misplaced(len(messages) - 1, "the last message must be the user's")
    return "\n\n".join(instructions) if instructions else None, turns


def _content(message: Message) -> Content:
    """A message's only image stands in front of its text, as in training; of several, each where it
    was put, on a line of its own."""
    if isinstance(message.content, str):
        return message.content
    images = sum(isinstance(part, ImagePart) for part in message.content)
    if images <= 1:
        return with_images(_text(message), images)
    parts: list[str | int] = []
    for part in message.content:
        parts += ["\n", part.text if isinstance(part, TextPart) else IMAGE]
    return parts[1:]


def _text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))


def _misplaced(number: int, rule: str) -> ApiError:
    return ApiError(
        400,
        f"Invalid value for 'messages[{number}]': {rule}.",
        param=f"messages[{number}]",
        code="invalid_value",
    )
