"""What a run would ask and cost, before anything is sent."""

from collections.abc import Iterable
from dataclasses import dataclass

from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Prompt
from llava_jax.remote.store import AnswerStore

_BYTES_PER_TOKEN = 4  # of English, about


@dataclass
class Estimate:
    """prompts: distinct ones; kept: in the store already; the rest is of those to be sent.

    prompt_tokens: about, by the length of the text. answer_tokens: at most, without second tries
    of answers that are cut off. usd: the price of both.
    """

    prompts: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    usd: float = 0.0

    @property
    def requests(self) -> int:
        return self.prompts - self.kept


def estimate(prompts: Iterable[Prompt], endpoint: Endpoint, store: AnswerStore) -> Estimate:
    """Counts what `ask` would send; nothing is sent."""
    result = Estimate()
    seen: set[str] = set()
    for prompt in prompts:
        key = prompt.key(endpoint.model)
        if key in seen:
            continue
        seen.add(key)
        result.prompts += 1
        if key in store:
            result.kept += 1
        else:
            result.prompt_tokens += prompt.size() // _BYTES_PER_TOKEN
            result.answer_tokens += prompt.sampling.max_tokens
    result.usd = endpoint.usd(result.prompt_tokens, result.answer_tokens)
    return result
