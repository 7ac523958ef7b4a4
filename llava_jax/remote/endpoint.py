"""Who is asked: a model behind a URL, and its price."""

import os
from dataclasses import dataclass, field

from llava_jax.errors import UserError


@dataclass(frozen=True)
class Endpoint:
    """A model that an OpenAI-compatible server answers for.

    base_url: up to and with the version, as in http://localhost:8000/v1.
    api_key: OPENAI_API_KEY of the environment if not given; local servers need none.
    usd_per_million_prompt, usd_per_million_answer: the price; 0 for a server of one's own.
    timeout: seconds until a request is given up, from connecting to the last byte.

    Raises UserError for a URL or a key that cannot be sent.
    """

    base_url: str
    model: str
    api_key: str = field(default_factory=lambda: os.environ.get("OPENAI_API_KEY", ""), repr=False)
    usd_per_million_prompt: float = 0.0
    usd_per_million_answer: float = 0.0
    timeout: float = 300.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise UserError(
                f"{self.base_url!r} is no address of a chat API: give one like "
                "http://localhost:8000/v1"
            )
        if not self.api_key.strip().isprintable() or not self.api_key.isascii():
            raise UserError(
                "the API key holds characters that no key has: set OPENAI_API_KEY to the key alone"
            )

    def usd(self, prompt_tokens: int, answer_tokens: int) -> float:
        """What a request of this many tokens costs."""
        prompt = prompt_tokens * self.usd_per_million_prompt
        return (prompt + answer_tokens * self.usd_per_million_answer) / 1e6
