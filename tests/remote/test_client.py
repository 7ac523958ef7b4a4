"""The client against servers that behave and misbehave; each test's server is its own."""

import itertools
import json
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.remote import run
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Message, Prompt, Sampling
from llava_jax.remote.store import AnswerStore
from tests.remote.asking import ask_all, prompt
from tests.remote.loopback import Body, Loopback, Reply, Script


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def echo(body: Body, times: int) -> Reply:
    return Reply(f"re: {body['messages'][-1]['content']}")


def first_then_echo(*bad: Reply) -> Script:
    """Bad replies for the first times that a prompt comes, then good ones."""
    return lambda body, times: bad[times] if times < len(bad) else echo(body, times)


def test_answers_are_those_of_their_prompts_and_kept(path: Path) -> None:
    with Loopback(echo) as server:
        answers = ask_all(server.url, path, range(300))
        again = ask_all(server.url, path, range(300))
    assert [answers[i].text for i in range(300)] == [f"re: {i}" for i in range(300)]
    assert {answer.text for answer in again.values() if answer.kept} == {
        f"re: {i}" for i in range(300)
    }
    assert server.asked == Counter(map(str, range(300)))  # each once, over both runs
    answer = answers[0]
    assert (answer.prompt_tokens, answer.answer_tokens, answer.model) == (10, 5, "told-1")
    assert (answer.finish_reason, answer.problem, answer.kept) == ("stop", "", False)


def test_what_is_sent(path: Path) -> None:
    asked = Prompt(
        (Message("system", "Be brief."), Message("user", "Hello")),
        Sampling(max_tokens=7, temperature=0.5, top_p=0.9, seed=3),
        repeat=2,
    )
    with Loopback(echo) as server, AnswerStore(path) as store:
        list(ask([(0, asked)], Endpoint(server.url, "m", "sesame\n"), store, Budget()))
    assert server.bodies == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
            ],
            "model": "m",
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 5,
        }
    ]
    assert "\r\nauthorization: bearer sesame\r\n" in server.headers[0].lower()


def test_the_url_is_not_part_of_what_is_known(path: Path) -> None:
    with Loopback(echo) as first:
        ask_all(first.url, path, "ab")
    with Loopback(echo) as second:
        assert all(answer.kept for answer in ask_all(second.url, path, "ab", at_once=1).values())
    assert not second.asked


def test_duplicates_are_sent_once_and_answered_each_time(path: Path) -> None:
    with Loopback(lambda *_: Reply(latency=0.02)) as server, AnswerStore(path) as store:
        questions = [(tag, prompt(tag % 5)) for tag in range(100)]
        answers = dict(ask(iter(questions), Endpoint(server.url, "m"), store, Budget(), at_once=4))
    assert sorted(answers) == list(range(100))
    assert set(server.asked.values()) == {1} and len(server.asked) == 5


def test_prompts_are_taken_as_places_become_free(path: Path) -> None:
    taken = 0

    def questions():
        nonlocal taken
        for number in range(500):
            taken += 1
            yield number, prompt(number)

    with Loopback(echo) as server, AnswerStore(path) as store:
        for done, _ in enumerate(
            ask(questions(), Endpoint(server.url, "m"), store, Budget(), at_once=4)
        ):
            assert taken - done <= 2 * 4 + 32
    assert taken == 500


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=500),
        Reply(status=503),
        Reply(status=429),
        Reply(latency=9.0),
        Reply(cut=0),
        Reply(cut=150),
        Reply(raw=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}),
        Reply(raw=b'{"choices": [{"message": {"content": "half'),
        Reply(raw=b'{"error": {"message": "overloaded"}}'),
        Reply(raw=b'{"choices": []}'),
        Reply(raw=b"\xff\xfe\x00garbage"),
    ],
    ids=["500", "503", "429", "stalls", "closes", "half a response", "html", "half a json",
         "error with 200", "no choices", "garbage"],
)  # fmt: skip
def test_trouble_that_passes(path: Path, bad: Reply) -> None:
    with Loopback(first_then_echo(bad, bad)) as server:
        answers = ask_all(server.url, path, "abc", timeout=1.0 if bad.latency else 60.0)
    assert {content: answer.text for content, answer in answers.items()} == {
        content: f"re: {content}" for content in "abc"
    }
    asked = set(server.asked.values())
    assert asked == {3} or (bad.latency and min(asked) >= 3)  # a slow machine may time out more


@pytest.mark.parametrize(
    ("bad", "problem", "times"),
    [
        (Reply(status=500), "server error: HTTP 500, as told", 5),
        (Reply(latency=9.0), "timeout: no answer in 1 seconds", 5),
        (Reply(cut=0), "broken off: ", 5),
        (Reply(cut=150), "broken off: ", 5),
        (Reply(raw=b"<html>Hi</html>"), "unreadable: no chat completion but '<html>Hi</html>'", 5),
        (Reply(status=429), "crowded: HTTP 429, as told", 30),
        (Reply(status=400), "rejected: HTTP 400, as told", 1),
        (Reply(status=422), "rejected: HTTP 422, as told", 1),
        (Reply(status=400, error={"code": "content_filter"}), "filtered: HTTP 400, as told", 1),
        (Reply("", finish_reason="content_filter"), "filtered: ", 1),
        (Reply(""), "empty: no text, finish reason 'stop'", 1),
    ],
)
def test_trouble_that_stays_is_set_aside_and_the_run_goes_on(
    path: Path, bad: Reply, problem: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_LONGEST_PAUSE", 0.01)

    def script(body: Body, times: int) -> Reply:
        return bad if body["messages"][-1]["content"] == "bad" else echo(body, times)

    with Loopback(script) as server:
        timeout = 1.0 if bad.latency else 60.0
        answers = ask_all(server.url, path, ["bad", *range(20)], timeout=timeout)
    assert answers["bad"].problem.startswith(problem)
    assert server.asked["bad"] == times
    assert [answers[i].text for i in range(20)] == [f"re: {i}" for i in range(20)]


def test_what_failed_is_asked_again_and_what_was_paid_is_not(path: Path) -> None:
    script = first_then_echo(Reply(status=400), Reply("", finish_reason="content_filter"))
    with Loopback(script) as server:
        assert "rejected" in ask_all(server.url, path, "a")["a"].problem
        assert "filtered" in ask_all(server.url, path, "a")["a"].problem
        kept = ask_all(server.url, path, "a")["a"]
    assert kept.kept and "filtered" in kept.problem
    assert server.asked["a"] == 2


def test_a_server_that_is_not_there_is_set_aside(path: Path) -> None:
    with Loopback(echo) as server:
        pass
    answers = ask_all(server.url, path, "ab")
    assert all(answer.problem.startswith("unreachable: ") for answer in answers.values())


def test_a_server_that_never_answers_ends_the_run(path: Path) -> None:
    with Loopback(lambda *_: Reply(status=500)) as server:
        with pytest.raises(UserError, match=r"none of the last 100 prompts.*server is well"):
            ask_all(server.url, path, range(1000))
        assert len(server.asked) < 250


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "", "key is not valid.*OPENAI_API_KEY"),
        (402, "", "no money left"),
        (429, "insufficient_quota", "no money left"),
        (403, "", "model is not allowed"),
        (404, "", "no model model at.*/v1"),
        (400, "model_not_found", "no model model at"),
    ],
)
def test_what_meets_every_prompt_ends_the_run_and_loses_nothing(
    path: Path, status: int, code: str, words: str
) -> None:
    def script(body: Body, times: int) -> Reply:
        number = int(body["messages"][-1]["content"])
        if number == 30:
            return Reply(status=status, error={"code": code})
        return Reply(latency=0.02 if number < 30 else 0.2)  # some are answered after the refusal

    with Loopback(script) as server:
        with pytest.raises(UserError, match=words):
            ask_all(server.url, path, range(1000))
        time.sleep(0.3)
    assert server.asked.total() < 100
    with AnswerStore(path) as store:
        assert {prompt(content).key("model") for content in server.answered} == set(store._places)
        assert len(store) >= 30


def test_retry_after_is_honoured(path: Path) -> None:
    times: list[float] = []

    def script(body: Body, count: int) -> Reply:
        times.append(time.time())
        later = ["0.4", formatdate(time.time() + 2, usegmt=True), "soon"]
        return Reply(status=429, headers={"Retry-After": later[count]}) if count < 3 else Reply()

    with Loopback(script) as server:
        assert ask_all(server.url, path, "a")["a"].text == "Fine."
    first, second, _ = (b - a for a, b in itertools.pairwise(times))
    assert first >= 0.4 and second >= 1.0  # a date has whole seconds


def test_an_endpoint_that_wants_hours_ends_the_run(path: Path) -> None:
    reply = Reply(status=429, headers={"Retry-After": "7200"})
    with Loopback(lambda *_: reply) as server, pytest.raises(UserError, match="120 minutes"):
        ask_all(server.url, path, "abc")


def test_as_many_at_once_as_the_endpoint_bears(path: Path) -> None:
    with Loopback(lambda *_: Reply(latency=0.02), at_once=6) as server:
        answers = ask_all(server.url, path, range(300), at_once=64)
    assert not any(answer.problem for answer in answers.values())
    assert set(server.asked.values()) == {1} and server.most == 6
    assert server.refused < 100


def test_no_more_at_once_than_wanted(path: Path) -> None:
    with Loopback(lambda *_: Reply(latency=0.01)) as server:
        ask_all(server.url, path, range(100), at_once=3)
    assert server.most == 3


def test_a_cut_off_answer_is_asked_once_more_with_twice_the_room(path: Path) -> None:
    def script(body: Body, times: int) -> Reply:
        enough = body["max_tokens"] >= (200 if body["messages"][-1]["content"] == "a" else 999)
        return Reply("Whole." if enough else "Hal", finish_reason="stop" if enough else "length")

    with Loopback(script) as server:
        price = {"usd_per_million_prompt": 1e6, "usd_per_million_answer": 1e6}
        answers = ask_all(server.url, path, "ab", **price)
        again = ask_all(server.url, path, "ab", **price)
    assert [body["max_tokens"] for body in server.bodies].count(200) == 2 == len(server.bodies) / 2
    assert (answers["a"].text, answers["a"].problem) == ("Whole.", "")
    assert answers["b"].problem.startswith("length: cut off")
    assert answers["a"].usd == 30.0 == again["a"].usd and again["a"].kept
    assert answers["a"].key == prompt("a").key("model")


def test_models_that_know_the_limit_by_its_newer_name(path: Path) -> None:
    wrong = {"code": "unsupported_parameter", "param": "max_tokens"}

    def script(body: Body, times: int) -> Reply:
        return Reply(status=400, error=wrong) if "max_tokens" in body else echo(body, times)

    with Loopback(script) as server:
        answers = ask_all(server.url, path, "abcd", at_once=1)
    assert not any(answer.problem for answer in answers.values())
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None] + [100] * 4


def test_the_budget_is_a_hard_cap(path: Path) -> None:
    reply = Reply(usage=(60, 100), latency=0.01)
    with Loopback(lambda *_: reply) as server:
        budget = Budget(max_usd=10.0)
        answers = ask_all(
            server.url, path, range(200), budget, usd_per_million_answer=1e3, at_once=64
        )
    assert server.asked.total() == 100  # $0.10 each; the worst case is what each costs
    assert budget.spent == pytest.approx(10.0) and budget.exhausted
    unpaid = [answer for answer in answers.values() if answer.problem]
    assert len(unpaid) == 100
    assert all(answer.problem.startswith("budget: it may cost $0.1") for answer in unpaid)


def test_what_is_in_the_store_is_free_when_the_budget_is_used_up(path: Path) -> None:
    price = {"usd_per_million_answer": 1e6}
    with Loopback(echo) as server:
        ask_all(server.url, path, "xyz", **price)
        with AnswerStore(path) as store:
            assert store.usd == 15.0
        budget = Budget(max_usd=16.0, spent=15.0)
        answers = ask_all(server.url, path, "axbyz", budget, **price)
    assert {content for content, answer in answers.items() if answer.problem} == {"a", "b"}
    assert server.asked.total() == 3


def test_a_request_that_broke_off_may_have_been_charged(path: Path) -> None:
    budget = Budget(max_usd=1000.0)
    with Loopback(first_then_echo(Reply(cut=0), Reply(status=500))) as server:
        answer = ask_all(server.url, path, "a", budget, usd_per_million_answer=1e6)["a"]
    assert answer.usd == 5.0
    assert budget.spent == 100.0 + 5.0  # the first at its worst case, the second for nothing


def test_an_endpoint_that_does_not_count_tokens_costs_the_most(path: Path) -> None:
    with Loopback(lambda *_: Reply(usage=None)) as server:
        answer = ask_all(server.url, path, "a", usd_per_million_answer=1e6)["a"]
    assert (answer.answer_tokens, answer.usd) == (0, 100.0)


def test_half_a_character_is_rejected(path: Path) -> None:
    with Loopback(echo) as server:
        answers = ask_all(server.url, path, ["\ud800", "a"])
    assert answers["\ud800"].problem.startswith("rejected")
    assert answers["a"].text == "re: a"


def test_the_end_of_a_caller_stores_what_was_sent(path: Path) -> None:
    with Loopback(lambda *_: Reply(latency=0.1)) as server, AnswerStore(path) as store:
        questions = ((i, prompt(i)) for i in range(1000))
        answers = ask(questions, Endpoint(server.url, "model"), store, Budget(), at_once=4)
        next(answers)
        answers.close()
        assert len(store) == server.asked.total() <= 50
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["key"] for line in lines} == {prompt(i).key("model") for i in server.asked}


def test_an_error_of_the_questions_is_the_callers(path: Path) -> None:
    def questions():
        yield "a"
        raise UserError("no such scene")

    with Loopback(echo) as server, pytest.raises(UserError, match="no such scene"):
        ask_all(server.url, path, questions())


def test_a_disk_that_is_full_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise UserError("make room there")

    monkeypatch.setattr(AnswerStore, "append", full)
    with Loopback(echo) as server, pytest.raises(UserError, match="make room there"):
        ask_all(server.url, path, range(1000))
    assert server.asked.total() < 1000


def test_a_limit_on_the_rate_is_kept_to(path: Path) -> None:
    """No number of requests at once is right for it: all must wait as told, and few ask in vain."""
    window: list[float] = []
    refused = 0

    def script(body: Body, times: int) -> Reply:
        nonlocal refused
        now = time.monotonic()
        window[:] = [sent for sent in window if sent > now - 0.5]
        if len(window) >= 20:
            refused += 1
            return Reply(status=429, headers={"Retry-After": f"{window[0] + 0.5 - now:.3f}"})
        window.append(now)
        return Reply(latency=0.01)

    start = time.monotonic()
    with Loopback(script) as server:
        answers = ask_all(server.url, path, range(100), at_once=32)
    assert not any(answer.problem for answer in answers.values())
    assert 2.0 <= time.monotonic() - start < 60.0  # four windows, then the rest
    assert refused < 150
