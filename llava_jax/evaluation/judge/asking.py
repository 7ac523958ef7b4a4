"""Items to a judge behind a chat API, verdicts back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llava_jax.errors import UserError
from llava_jax.evaluation.judge.judgement import ORDERS, Item, Judgement, Marks, Order, Verdict
from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Message, Prompt, Sampling
from llava_jax.remote.store import AnswerStore

_MAX_TOKENS = 1024  # LLaVA's


@dataclass(frozen=True)
class Judge:
    """A model that judges. family: whose it is ("openai", "llama"), to know judges of a kind.

    temperature: LLaVA's; None leaves it to the endpoint, as reasoning models demand.
    """

    family: str
    endpoint: Endpoint
    temperature: float | None = 0.2

    @property
    def name(self) -> str:
        return f"{self.family}:{self.endpoint.model}"


@runtime_checkable
class Method(Protocol):
    """How items are put to a judge. asks: how often, at most, until a verdict can be read."""

    @property
    def asks(self) -> int: ...

    def messages(self, item: Item, first: str, second: str) -> tuple[Message, ...]:
        """The conversation that shows an item's two answers in this order."""
        ...

    def read(self, text: str) -> Marks | None:
        """The marks of the answer shown first and of the second; None if there are none."""
        ...


def family_and_model(name: str) -> tuple[str, str]:
    """The parts of "family:model". Raises UserError where one is missing."""
    family, _, model = name.partition(":")
    if not family or not model:
        raise UserError(f"{name!r} names no family: write family:model, as in openai:gpt-4o")
    return family.lower(), model


def judge_items(
    items: Sequence[Item], judge: Judge, method: Method, store: AnswerStore, budget: Budget
) -> Judgement:
    """Has each item judged in both orders; what cannot be read is asked again.

    Answers in the store are not asked for again, so that a run that ended early goes on.
    Raises as `ask` does.
    """
    wanted = [(item, order) for item in items for order in ORDERS]
    verdicts: dict[tuple[str, Order], Verdict] = {}
    for repeat in range(method.asks):
        for (item, order), answer in ask(
            _questions(wanted, judge, method, repeat), judge.endpoint, store, budget,
            total=len(wanted),
        ):  # fmt: skip
            verdicts[item.id, order] = _verdict(item, order, answer, method, repeat + 1)
        wanted = [pair for pair in wanted if verdicts[pair[0].id, pair[1]].marks is None]
        if not wanted:
            break
    in_order = tuple(verdicts[item.id, order] for item in items for order in ORDERS)
    return Judgement(judge.name, tuple(items), in_order)


def _questions(
    wanted: Iterable[tuple[Item, Order]], judge: Judge, method: Method, repeat: int
) -> Iterable[tuple[tuple[Item, Order], Prompt]]:
    sampling = Sampling(_MAX_TOKENS, judge.temperature)
    for item, order in wanted:
        answers = (item.reference, item.candidate)
        shown = answers if order == "reference first" else answers[::-1]
        yield (item, order), Prompt(method.messages(item, *shown), sampling, repeat)


def _verdict(item: Item, order: Order, answer: Answer, method: Method, asked: int) -> Verdict:
    """What can be read of an answer that was cut off counts; silence is a verdict in no mode."""
    marks = method.read(answer.text) if answer.text else None
    if marks is not None and order == "candidate first":
        marks = marks[::-1]
    return Verdict(item.id, order, answer.text, marks, asked, answer.problem)
