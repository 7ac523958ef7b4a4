"""How an evaluation asks a judge or another language model: all prompts at once."""

from collections.abc import Callable, Sequence

from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Prompt
from llava_jax.remote.store import AnswerStore

Ask = Callable[[Sequence[Prompt]], Sequence[Answer]]  # answers in the order of the prompts


def asker(endpoint: Endpoint, store: AnswerStore, budget: Budget) -> Ask:
    """Asks a chat API; raises what `remote.client.ask` raises."""

    def ask_all(prompts: Sequence[Prompt]) -> list[Answer]:
        answers = dict(ask(enumerate(prompts), endpoint, store, budget, total=len(prompts)))
        return [answers[number] for number in range(len(prompts))]

    return ask_all
