from dataclasses import replace

import pytest

from llava_jax.errors import UserError
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Message, Prompt, Sampling

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "Wer? ☃")), Sampling(50))


def test_the_key_never_changes() -> None:
    """Else every store of paid answers is worthless: this is what was written before."""
    assert PROMPT.key("m") == "52f78a653d138843c8b7e371d6fabe33a7cf5e54b9afeef433aefd900c04cfd4"


@pytest.mark.parametrize(
    "other",
    [
        replace(PROMPT, repeat=1),
        replace(PROMPT, messages=PROMPT.messages[:1]),
        replace(PROMPT, messages=PROMPT.messages[::-1]),
        replace(PROMPT, messages=(Message("user", "Be brief."), PROMPT.messages[1])),
        replace(PROMPT, sampling=Sampling(51)),
        replace(PROMPT, sampling=Sampling(50, temperature=0.0)),
        replace(PROMPT, sampling=Sampling(50, seed=0)),
        replace(PROMPT, sampling=Sampling(50, top_p=1.0)),
        PROMPT.longer(),
    ],
)
def test_the_key_tells_all_apart_that_an_answer_depends_on(other: Prompt) -> None:
    assert other.key("m") != PROMPT.key("m")


def test_the_key_tells_models_apart() -> None:
    assert PROMPT.key("m") != PROMPT.key("n")


def test_what_is_not_given_is_not_sent() -> None:
    assert PROMPT.body().keys() == {"messages", "max_tokens"}


def test_size_is_bytes_and_no_tokenizer_makes_more_tokens() -> None:
    assert PROMPT.size() == 9 + 8
    assert PROMPT.most_tokens() > 17


def test_price() -> None:
    endpoint = Endpoint("http://h/v1", "m", usd_per_million_prompt=2.0, usd_per_million_answer=8.0)
    assert endpoint.usd(1_000_000, 500_000) == 6.0
    assert Endpoint("http://h/v1", "m").usd(10**9, 10**9) == 0.0


def test_the_key_of_the_environment_is_taken_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    endpoint = Endpoint("http://h/v1", "m")
    assert endpoint.api_key == "sesame" and "sesame" not in repr(endpoint)


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(UserError, match=r"'localhost:8000' is no address.*http://"):
        Endpoint("localhost:8000", "m")
    for key in ("“sesame”", "a\nb"):
        with pytest.raises(UserError, match="OPENAI_API_KEY"):
            Endpoint("http://h/v1", "m", key)
