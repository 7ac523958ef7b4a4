"""A language model behind a chat API as teacher: it reads symbols, never an image."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from llava_jax.instruct.teacher.prompts import messages, prompt_hash
from llava_jax.instruct.teacher.responses import read
from llava_jax.instruct.turns import Request, Response, Usage
from llava_jax.remote.answer import Answer
from llava_jax.remote.prompt import Prompt, Sampling

# `remote.client.ask` with an endpoint, a store and a budget: answers with the tags of their
# prompts, as they come. The tag is the request with the hash of its prompt.
Tag = tuple[Request, str]
Ask = Callable[[Iterable[tuple[Tag, Prompt]]], Iterator[tuple[Tag, Answer]]]


@dataclass(frozen=True)
class ApiTeacher:
    """Asks a model for every response.

    name: the model's, as provenance records it. ask: puts prompts to it.
    faithful, budget: see `prompts.messages`.
    """

    name: str
    ask: Ask
    faithful: bool = False
    budget: int | None = None
    sampling: Sampling = field(default_factory=Sampling)

    def prompt(self, request: Request) -> Prompt:
        """All that is sent for a response."""
        return Prompt(messages(request, self.faithful, self.budget), self.sampling)

    def respond(self, requests: Sequence[Request]) -> Iterator[Response]:
        """One response a request, in the order in which the answers come."""
        for (request, hashed), answer in self.ask(self._questions(requests)):
            yield self._response(request, hashed, answer)

    def _questions(self, requests: Iterable[Request]) -> Iterator[tuple[Tag, Prompt]]:
        for request in requests:
            prompt = self.prompt(request)
            yield (request, prompt_hash(prompt.messages)), prompt

    def _response(self, request: Request, hashed: str, answer: Answer) -> Response:
        """A cut off answer is read as far as it goes; any other problem is the response's."""
        usage = Usage(answer.prompt_tokens, answer.answer_tokens, answer.usd)
        if answer.problem and not answer.cut_off:
            return Response(request, (), self.name, answer.problem, hashed, usage)
        reading = read(request, answer.text, answer.cut_off)
        return Response(request, reading.turns, self.name, reading.problem, hashed, usage)
