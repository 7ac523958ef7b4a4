from pathlib import Path

from llava_jax.remote.answer import Answer
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.estimate import estimate
from llava_jax.remote.store import AnswerStore
from tests.remote.asking import prompt


def test_estimate_counts_what_would_be_sent(tmp_path: Path) -> None:
    endpoint = Endpoint(
        "http://nobody/v1", "model", usd_per_million_prompt=1e6, usd_per_million_answer=2e6
    )
    with AnswerStore(tmp_path / "answers.jsonl") as store:
        store.append([Answer(prompt("kept").key("model"), "Fine.")])
        prompts = (prompt(content) for content in ("kept", "x" * 40, "y" * 80, "x" * 40))
        result = estimate(prompts, endpoint, store)
    assert (result.prompts, result.kept, result.requests) == (3, 1, 2)
    assert (result.prompt_tokens, result.answer_tokens) == (30, 200)
    assert result.usd == 430.0
