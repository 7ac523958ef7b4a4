"""The chat page in a real headless Chromium, in front of a real server."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llava_jax.inference.sight import content_key
from tests.inference import tiny
from tests.serving.live import Live, encoded, served

pytest.importorskip("gradio", reason="the chat page needs gradio")
pytestmark = pytest.mark.slow

STEP = 0.02  # seconds: so slow that a browser sees an answer grow
KEY = "a key"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@dataclass
class Served:
    live: Live
    votes: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.votes.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    votes = tmp_path_factory.mktemp("votes") / "votes.jsonl"
    with served(votes=votes, api_key=KEY) as live:
        live.scheduler.warm_up(lambda *_: None)
        live.engine.warm_up(lambda *_: None)
        step = live.scheduler.step

        def slowly() -> bool:
            time.sleep(STEP)
            return step()

        live.scheduler.step = slowly  # type: ignore[method-assign]
        yield Served(live, votes)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(BROWSERS)} on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, behind: Served) -> Iterator[Any]:
    """The page of a new visitor; whatever is asked for elsewhere fails the test."""
    credentials = {"username": "anyone", "password": KEY}
    context = browser.new_context(http_credentials=credentials)
    context.set_default_timeout(60_000)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{behind.live.url}/chat")
    page.wait_for_selector("textarea")
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((behind.live.url, "blob:", "data:"))] == []


def ask(page: Any, question: str, *images: Path) -> None:
    if images:
        page.set_input_files("input[type=file]", images)
        page.locator(".thumbnails .thumbnail-item").nth(len(images) - 1).wait_for()
    page.fill("textarea", question)
    page.press("textarea", "Enter")


def answer(page: Any) -> str:
    """The text of the only answer that is shown; "" where there is none."""
    shown = page.get_by_test_id("bot")
    return shown.text_content() if shown.count() else ""


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def idle(behind: Served) -> bool:
    return behind.live.scheduler.active == behind.live.scheduler.waiting == 0


def test_a_conversation(page, behind: Served, tmp_path: Path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(encoded(tiny.picture(1)))
    assert page.get_by_text("tiny", exact=True).is_visible()
    assert page.get_by_text("prepared as pad").is_visible()
    ask(page, "What is <image> & <|im_end|>?", picture)
    first = until(lambda: answer(page))
    until(lambda: len(answer(page)) > len(first))
    until(lambda: idle(behind))
    assert (
        page.get_by_test_id("user").last.text_content().strip() == "What is <image> & <|im_end|>?"
    )

    page.get_by_label("Like", exact=True).click()
    (vote,) = until(lambda: behind.lines)
    assert vote["question"] == "What is <image> & <|im_end|>?"
    assert vote["images"] == [content_key(picture.read_bytes())]
    assert (vote["model"], vote["vote"]) == ("tiny", "up")
    assert set(vote["sampling"]) == {"temperature", "top_p", "max_tokens", "seed"}
    until(lambda: letters(answer(page)) == letters(vote["answer"]))

    page.get_by_role("button", name="Regenerate").click()
    until(lambda: not idle(behind))
    until(lambda: idle(behind) and answer(page))
    assert page.get_by_test_id("bot").count() == 1
    page.get_by_label("Dislike", exact=True).click()
    again = until(lambda: behind.lines[1:])[0]
    assert again["vote"] == "down" and again["conversation"] == vote["conversation"]
    assert again["request"] != vote["request"]

    page.get_by_role("button", name="Clear", exact=True).last.click()
    until(lambda: page.get_by_test_id("user").count() == 0 == page.get_by_test_id("bot").count())


def letters(text: str) -> str:
    """What of an answer of random bytes survives a browser."""
    return "".join(re.findall(r"[A-Za-z0-9]", text))


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer takes minutes: who is idle sooner was stopped."""
    monkeypatch.setattr(sys.modules[__name__], "STEP", 0.5)


def test_stop_frees_the_slot_and_keeps_what_was_said(page, behind: Served, endless: None):
    ask(page, "Tell me all.")
    until(lambda: answer(page))
    page.get_by_role("button", name="Stop").click()
    until(lambda: idle(behind), seconds=30)
    assert answer(page)
    page.get_by_role("button", name="Regenerate").click()
    until(lambda: not idle(behind))
    until(lambda: answer(page))


def test_who_leaves_frees_the_slot(browser, page, behind: Served, endless: None):
    ask(page, "Tell me all.")
    until(lambda: answer(page))
    page.goto("about:blank")
    until(lambda: idle(behind), seconds=30)


def test_what_is_no_picture_is_told_and_the_question_stays(page, tmp_path: Path):
    false = tmp_path / "false.png"
    false.write_text("not a picture")
    ask(page, "What?", false)
    page.get_by_text("An image cannot be read: give one as").wait_for()
    until(lambda: page.input_value("textarea") == "What?")
    assert page.get_by_test_id("user").count() == 0


def test_nothing_is_no_question(page):
    page.fill("textarea", "  ")
    page.press("textarea", "Enter")
    page.get_by_text("Ask something, or give an image.").wait_for()


def test_without_the_key_there_is_nothing(behind: Served):
    with behind.live.http() as client:
        for path in ("/chat", "/chat/", "/chat/config", "/chat/theme.css"):
            refused = client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
        for password, status in ((KEY, 200), ("wrong", 401)):
            assert client.get("/chat/config", auth=("me", password)).status_code == status
        assert client.get("/v1/models", auth=("me", KEY)).status_code == 401
