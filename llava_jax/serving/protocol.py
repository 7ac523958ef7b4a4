"""Requests and responses of the chat API, as OpenAI's clients send and read them.

Follows the public reference of `POST /v1/chat/completions`
(platform.openai.com/docs/api-reference/chat).
"""

import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llava_jax.serving.errors import UNSUPPORTED

MOST_MESSAGES = 256
MOST_CHOICES = 8  # `n` of a request
MOST_LOGPROBS = 20

# Known fields that change no answer here, whatever they say.
_IGNORED = {
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
}
# Known fields that would change the answer, and the value with which they do not.
_NEUTRAL: dict[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "tool_choice": "none",
    "tools": [],
}


def _encodable(text: str) -> str:
    """JSON can write half of a character, which no text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("surrogate", "Input should be valid Unicode") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]


class _Asked(BaseModel):
    """Part of a request: types are taken as they are, null is the same as nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}


class TextPart(_Asked):
    type: Literal["text"]
    text: Text


class ImageUrl(_Asked):
    """url: a data URI, or an address where the server allows them. detail: of no effect."""

    url: Text
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(_Asked):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _one_or_many(value: Any) -> str:
    return "(one)" if isinstance(value, str) else "(many)"


_Content = Annotated[
    Annotated[Text, Tag("(one)")] | Annotated[list[Part], Tag("(many)")],
    Discriminator(_one_or_many),
]
_Stop = Annotated[Text, Field(min_length=1, max_length=256)]
_Stops = Annotated[
    Annotated[_Stop, Tag("(one)")] | Annotated[list[_Stop], Field(max_length=4), Tag("(many)")],
    Discriminator(_one_or_many),
]


class Message(_Asked):
    """`name` and what an answer of this API carries besides its content have no effect."""

    role: Literal["system", "developer", "user", "assistant"]
    content: _Content
    name: Text = ""
    annotations: Annotated[list[Any], Field(max_length=0)] = []

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        if isinstance(self.content, str):
            return [TextPart(type="text", text=self.content)]
        return self.content


class StreamOptions(_Asked):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(_Asked):
    """What `POST /v1/chat/completions` takes; other known fields only with their neutral value."""

    model: Text
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    stop: _Stops = []
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] = 0
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_effect(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, neutral in _NEUTRAL.items():
            if data.get(name) not in (None, neutral):
                text = "'{name}' is not supported by this server: leave it out."
                raise PydanticCustomError(UNSUPPORTED, text, {"name": name})
        dropped = _IGNORED | _NEUTRAL.keys()
        return {name: value for name, value in data.items() if name not in dropped}

    @model_validator(mode="after")
    def _that_fits_together(self) -> "ChatRequest":
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError(UNSUPPORTED, "'top_logprobs' needs 'logprobs' to be true.")
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(UNSUPPORTED, "'stream_options' needs 'stream' to be true.")
        return self

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def longest(self) -> int | None:
        """Tokens of an answer at most, by the newer name or the older."""
        return self.max_completion_tokens or self.max_tokens


class TokenLogprob(BaseModel):
    """bytes: of the token's text, which may be a part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(TokenLogprob):
    top_logprobs: list[TokenLogprob]


class Logprobs(BaseModel):
    content: list[ContentLogprob]
    refusal: None = None


class Usage(BaseModel):
    """Counted in tokens; the prompt's with its images."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


FinishReason = Literal["stop", "length"]


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: FinishReason


class Delta(BaseModel):
    """What a piece of a stream adds; what it does not add is left out."""

    role: Literal["assistant"] | None = None
    content: str | None = None

    @model_serializer(mode="wrap")
    def _added(self, handler: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: FinishReason | None


class _Completion(BaseModel):
    id: str = Field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = Field(default_factory=lambda: int(time.time()))
    model: str
    usage: Usage | None = None


class ChatCompletion(_Completion):
    object: Literal["chat.completion"] = "chat.completion"
    choices: list[Choice]


class ChatCompletionChunk(_Completion):
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: list[ChunkChoice]


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "llava_jax"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]
