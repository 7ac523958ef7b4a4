"""Asking a chat API as an evaluation does: answers in the order of the prompts."""

from pathlib import Path

from llava_jax.evaluation.asking import asker
from llava_jax.remote.budget import Budget
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.store import AnswerStore
from tests.remote.asking import prompt
from tests.remote.loopback import Body, Loopback, Reply


def later_first(body: Body, times: int) -> Reply:
    number = body["messages"][-1]["content"]
    return Reply(f"re: {number}", latency=0.1 / (1 + int(number)))


def test_answers_come_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    with Loopback(later_first) as server, AnswerStore(tmp_path / "answers.jsonl") as store:
        ask = asker(Endpoint(server.url, "model"), store, Budget())
        answers = ask([prompt(number) for number in (0, 5, 1, 5)])
    assert [answer.text for answer in answers] == ["re: 0", "re: 5", "re: 1", "re: 5"]
