"""From answers, done or on their way, to what the API gives out."""

from collections.abc import AsyncIterator, Iterator, Sequence

from pydantic import BaseModel

from llava_jax.inference.answers import Token, Writing
from llava_jax.serving.errors import ApiError
from llava_jax.serving.protocol import (
    AnswerMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    Choice,
    ChunkChoice,
    ContentLogprob,
    Delta,
    FinishReason,
    Logprobs,
    TokenLogprob,
    Usage,
)
from llava_jax.serving.worker import Answers
from llava_jax.text.tokenizer import Tokenizer

_LEAST_LOGPROB = -9999.0  # stands for "never", as in OpenAI's answers


def completion(
    asked: ChatRequest, writings: Sequence[Writing], tokenizer: Tokenizer
) -> ChatCompletion:
    """The whole answer."""
    choices = [
        Choice(
            index=index,
            message=AnswerMessage(content=writing.text.text),
            logprobs=_logprobs(asked, writing, writing.tokens, tokenizer),
            finish_reason=finish_reason(writing),
        )
        for index, writing in enumerate(writings)
    ]
    return ChatCompletion(model=asked.model, choices=choices, usage=usage(writings))


async def events(asked: ChatRequest, answers: Answers, tokenizer: Tokenizer) -> AsyncIterator[str]:
    """The answer as server-sent events, while it is being written."""
    stream = _Stream(asked, answers.writings, tokenizer)
    for event in stream.opening():
        yield event
    try:
        while not stream.done:
            for event in stream.news():
                yield event
            if not stream.done:
                await answers.change()
    except ApiError as error:
        yield _event(error.body)
        return
    if asked.stream_options and asked.stream_options.include_usage:
        yield stream.chunk([], usage(answers.writings))
    yield "data: [DONE]\n\n"


class _Stream:
    """What has been given out of each answer, in characters and tokens."""

    def __init__(self, asked: ChatRequest, writings: Sequence[Writing], tokenizer: Tokenizer):
        self._asked, self._writings, self._tokenizer = asked, writings, tokenizer
        self._given = [(0, 0)] * len(writings)
        self._open = set(range(len(writings)))
        self._first = ChatCompletionChunk(model=asked.model, choices=[])

    @property
    def done(self) -> bool:
        return not self._open

    def opening(self) -> Iterator[str]:
        """Tells of each answer whose it is."""
        for index in range(len(self._writings)):
            delta = Delta(role="assistant", content="")
            yield self.chunk([ChunkChoice(index=index, delta=delta, finish_reason=None)])

    def news(self) -> Iterator[str]:
        """What has come since."""
        for index in sorted(self._open):
            writing = self._writings[index]
            done = writing.done  # asked first: then nothing comes after what is read here
            characters, count = self._given[index]
            text, tokens = writing.text.text[characters:], writing.tokens[count:]
            self._given[index] = characters + len(text), count + len(tokens)
            logprobs = _logprobs(self._asked, writing, tokens, self._tokenizer)
            if text or (logprobs and logprobs.content):
                delta = Delta(content=text)
                yield self.chunk(
                    [ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=None)]
                )
            if done:
                self._open.remove(index)
                reason = finish_reason(writing)
                yield self.chunk([ChunkChoice(index=index, delta=Delta(), finish_reason=reason)])

    def chunk(self, choices: list[ChunkChoice], total: Usage | None = None) -> str:
        update = {"choices": choices, "usage": total}
        return _event(self._first.model_copy(update=update))


def usage(writings: Sequence[Writing]) -> Usage:
    """Tokens of the prompt, once, and of all its answers."""
    read = len(writings[0].prompt.tokens)
    written = sum(len(writing.tokens) for writing in writings)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def finish_reason(writing: Writing) -> FinishReason:
    return "length" if writing.ended == "length" else "stop"


def _event(body: BaseModel) -> str:
    return f"data: {body.model_dump_json()}\n\n"


def _logprobs(
    asked: ChatRequest, writing: Writing, tokens: Sequence[Token], tokenizer: Tokenizer
) -> Logprobs | None:
    """Of the answer's tokens; one that ends it is no part of it."""
    if not asked.logprobs:
        return None
    return Logprobs(
        content=[
            ContentLogprob(
                **_one(token.id, token.logprob, tokenizer).model_dump(),
                top_logprobs=[
                    _one(other, logprob, tokenizer)
                    for other, logprob in token.others[: asked.top_logprobs]
                ],
            )
            for token in tokens
            if token.id not in writing.prompt.ends
        ]
    )


def _one(token_id: int, logprob: float, tokenizer: Tokenizer) -> TokenLogprob:
    """A token whose bytes are no text of their own is written with escapes, "\\xe2\\x82"."""
    content = tokenizer.token_bytes(token_id)
    text = content.decode("utf-8", "backslashreplace")
    return TokenLogprob(token=text, logprob=max(_LEAST_LOGPROB, logprob), bytes=list(content))
