"""One request to a chat API and its answer; no retries."""

import asyncio
import json
from typing import Any

import httpx2
import openai

from llava_jax.remote.answer import Answer
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.errors import failure_of, unreadable
from llava_jax.remote.prompt import Prompt

_KEEP_IDLE = 2.0  # seconds; servers close idle connections after 5 and more: not while one is used


class Connection:
    """Sends prompts to an endpoint through the openai client."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint
        self._limit_name = "max_tokens"
        limits = httpx2.Limits(
            keepalive_expiry=_KEEP_IDLE
        )  # of connections: the limiter's business
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key.strip() or "none",
            max_retries=0,
            timeout=None,  # the client's own is for each read: an answer could drip for ever
            http_client=openai.DefaultAsyncHttpxClient(limits=limits),
        )

    async def close(self) -> None:
        await self._client.close()

    async def send(self, prompt: Prompt) -> Answer:
        """The answer to a prompt. Raises Failure; UserError if no prompt can be answered."""
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                content = await self._post(prompt.body())
        except (openai.OpenAIError, TimeoutError, UnicodeEncodeError) as error:
            raise failure_of(error, self._endpoint) from error
        return self._read(prompt, content)

    async def _post(self, body: dict[str, Any]) -> str:
        """The raw text of the response: what a server sends is not always what its type says."""
        limit = body.pop("max_tokens")
        raw = self._client.chat.completions.with_raw_response
        try:
            response = await raw.create(
                model=self._endpoint.model, **body, **{self._limit_name: limit}
            )
        except openai.BadRequestError as error:
            # OpenAI's reasoning models know the limit by a newer name, most servers by the old.
            if error.code != "unsupported_parameter" or error.param != self._limit_name:
                raise
            self._limit_name = "max_completion_tokens"
            return await self._post(body | {"max_tokens": limit})
        return response.text

    def _read(self, prompt: Prompt, content: str) -> Answer:
        try:
            completion = json.loads(content)
            choice = completion["choices"][0]
            text, finish = choice["message"]["content"] or "", choice.get("finish_reason") or ""
            model = completion.get("model") or ""
            if not all(isinstance(value, str) for value in (text, finish, model)):
                raise TypeError
            usage = completion.get("usage") or {}
            tokens = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise unreadable(content) from error
        usd = self._endpoint.usd(*tokens) if usage else self.most_usd(prompt)
        return Answer(prompt.key(self._endpoint.model), text, finish, *tokens, usd, model).judged()

    def most_usd(self, prompt: Prompt) -> float:
        """The most that an answer can cost."""
        return self._endpoint.usd(prompt.most_tokens(), prompt.sampling.max_tokens)
