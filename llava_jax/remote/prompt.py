"""What is asked of a chat API, and the key that knows it again."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

_MESSAGE_TOKENS = 16  # the most a chat template writes around a message
_TEMPLATE_TOKENS = 128  # the most it puts in front: a default system prompt, today's date


@dataclass(frozen=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; None leaves it to the endpoint, as reasoning models demand."""

    max_tokens: int = 1024
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A conversation that wants its next message.

    repeat: tells apart requests for several answers to the same; it is added to a seed.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    repeat: int = 0

    def key(self, model: str) -> str:
        """SHA-256 (hex) of all that an answer depends on; not of where or how it is asked."""
        content = json.dumps({"model": model, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def body(self) -> dict[str, Any]:
        """The fields of the chat completions API, without the model."""
        drawn = {name: value for name, value in asdict(self.sampling).items() if value is not None}
        if self.sampling.seed is not None:
            drawn["seed"] = self.sampling.seed + self.repeat
        return {"messages": [asdict(message) for message in self.messages], **drawn}

    def longer(self) -> "Prompt":
        """The same with room for twice the answer."""
        return replace(
            self, sampling=replace(self.sampling, max_tokens=2 * self.sampling.max_tokens)
        )

    def size(self) -> int:
        """Bytes (UTF-8) of its messages."""
        return sum(len(message.content.encode(errors="replace")) for message in self.messages)

    def most_tokens(self) -> int:
        """More prompt tokens than any tokenizer makes of it: a token is at least a byte."""
        return _TEMPLATE_TOKENS + _MESSAGE_TOKENS * len(self.messages) + self.size()
