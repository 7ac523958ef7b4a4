"""Shared by the tests of the remote client: prompts, and one call that asks them all."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Message, Prompt, Sampling
from llava_jax.remote.store import AnswerStore


def prompt(content: Any, max_tokens: int = 100) -> Prompt:
    return Prompt((Message("user", str(content)),), Sampling(max_tokens))


def ask_all(
    url: str,
    path: Path,
    contents: Iterable[Any],
    budget: Budget | None = None,
    at_once: int = 16,
    **endpoint: Any,
) -> dict[Any, Answer]:
    """The answers by content; with a store at the path."""
    endpoint = {"api_key": "sesame", "timeout": 300.0} | endpoint
    with AnswerStore(path) as store:
        questions = ((content, prompt(content)) for content in contents)
        answers = ask(
            questions,
            Endpoint(url, "model", **endpoint),
            store,
            budget or Budget(),
            at_once=at_once,
        )
        return dict(answers)


if __name__ == "__main__":  # URL STORE COUNT: a client in a process of its own
    answers = ask_all(sys.argv[1], Path(sys.argv[2]), range(int(sys.argv[3])))
    print(sum(not answer.problem for answer in answers.values()))
