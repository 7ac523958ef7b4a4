"""The chat page: a Gradio app in the same server, answered by the same service as the API.

What is typed and uploaded becomes a request of the API, so that it meets the same checks, and its
errors are the API's sentences.
"""

import asyncio
import base64
import html
import secrets
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from llava_jax.inference.sight import content_key
from llava_jax.serving.errors import ApiError
from llava_jax.serving.examples import draw_examples
from llava_jax.serving.gate import PAGE
from llava_jax.serving.media import LARGEST_IMAGE
from llava_jax.serving.protocol import ChatRequest
from llava_jax.serving.service import Service
from llava_jax.serving.votes import Vote, Votes

_UPLOADS_KEPT = (3600, 86400)  # every hour, those older than a day are deleted
_LARGEST_SEED = 2**31 - 1
_NO_SHARING = "[aria-label=Share] {display: none}"  # it would send a picture to a hub
_LONGEST = 256  # tokens of an answer, unless the page says otherwise


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class Turn:
    """A question and what there is of its answer. images: files. id: the answer's."""

    question: str
    images: list[str]
    answer: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=_new_id)


@dataclass
class Conversation:
    """What one visitor's page shows."""

    turns: list[Turn] = field(default_factory=list)
    id: str = field(default_factory=_new_id)


Value = float | int | None  # of a control
Messages = list[dict[str, Any]]
Shown = tuple[Messages, Conversation | None, dict[str, Any]]  # chat, state, box


def mount(app: FastAPI, service: Service, votes: Votes) -> None:
    """Adds the page to an application, under `PAGE`."""
    gr.mount_gradio_app(
        app,
        _Page(service, votes).blocks(),
        path=PAGE,
        footer_links=[],
        max_file_size=LARGEST_IMAGE,
        show_error=False,  # of ours; those that visitors can mend are shown all the same
        ssr_mode=False,
        css=_NO_SHARING,
        theme=gr.themes.Default(font="system-ui", font_mono="ui-monospace"),
    )
    app.add_api_route(PAGE, lambda: RedirectResponse(f"{PAGE}/"), include_in_schema=False)


class _Page:
    def __init__(self, service: Service, votes: Votes):
        self._service, self._votes = service, votes

    def blocks(self) -> gr.Blocks:
        """The page's parts, and what they set going."""
        name, mode = self._service.name, self._service.engine.image_mode
        with gr.Blocks(
            title=name, analytics_enabled=False, delete_cache=_UPLOADS_KEPT, fill_height=True
        ) as blocks:
            gr.Markdown(f"## {name}\nImages are prepared as `{mode}`.")
            conversation = gr.State()  # None before the first question
            # Markdown would load pictures that an answer names.
            chat = gr.Chatbot(render_markdown=False, show_label=False, buttons=[], scale=1)
            box = gr.MultimodalTextbox(
                placeholder="Ask something; images can be added to every question.",
                file_types=["image"],
                file_count="multiple",
                show_label=False,
            )
            with gr.Row():
                stop, again, clear = map(gr.Button, ("Stop", "Regenerate", "Clear"))
            sampling = self._controls()
            self._examples(box)
            parts = [chat, conversation, box]
            anew: dict[str, Any] = {"outputs": parts, "concurrency_limit": None}
            asked = box.submit(self._ask, [conversation, box, *sampling], **anew)
            repeated = again.click(self._again, [conversation, box, *sampling], **anew)
            stop.click(None, cancels=[asked, repeated])
            clear.click(_cleared, None, parts, cancels=[asked, repeated])
            chat.like(self._vote, [conversation], None)
        return blocks

    def _controls(self) -> list[Any]:
        longest = self._service.engine.config.language.max_length
        with gr.Accordion("Sampling", open=False), gr.Row():
            return [
                gr.Slider(0, 2, 0.2, step=0.05, label="Temperature", info="0: the likeliest token"),
                gr.Slider(0, 1, 1, step=0.01, label="Top-p"),
                gr.Slider(1, longest, min(_LONGEST, longest), step=1, label="Max tokens"),
                gr.Number(None, label="Seed", precision=0, minimum=0, maximum=_LARGEST_SEED,
                          placeholder="a new one each time"),
            ]  # fmt: skip

    def _examples(self, box: gr.MultimodalTextbox) -> None:
        with tempfile.TemporaryDirectory() as folder:  # Gradio keeps copies
            images = draw_examples(Path(folder))
            questions = [{"text": "What is in the image?", "files": [str(path)]} for path in images]
            gr.Examples([[question] for question in questions], [box], cache_examples=False)

    async def _ask(
        self, conversation: Conversation | None, typed: dict[str, Any], *sampling: Value
    ) -> AsyncIterator[Shown]:
        """Answers what stands in the box; a question that is refused goes back there."""
        conversation = conversation or Conversation()
        turn = Turn(typed["text"] or "", typed["files"] or [])
        turns = [*conversation.turns, turn]
        async for good, chat in self._answered(conversation, turns, sampling):
            yield chat, conversation, _EMPTY if good else typed

    async def _again(
        self, conversation: Conversation | None, typed: dict[str, Any], *sampling: Value
    ) -> AsyncIterator[Shown]:
        """Another answer to the last question; what stands in the box stays."""
        if conversation and conversation.turns:
            *before, last = conversation.turns
            turns = [*before, Turn(last.question, last.images)]
            async for _, chat in self._answered(conversation, turns, sampling):
                yield chat, conversation, typed

    async def _answered(
        self, conversation: Conversation, turns: list[Turn], sampling: Sequence[Value]
    ) -> AsyncIterator[tuple[bool, Messages]]:
        """What the chat shows as its last turn is answered; False: refused, all is as before."""
        turn, before = turns[-1], conversation.turns
        turn.sampling = _sampling(*sampling)
        conversation.turns = turns
        yield True, _messages(turns)
        try:
            request = await asyncio.to_thread(_request, self._service.name, turns)
            async for text in self._texts(request):
                turn.answer = text
                yield True, _messages(turns)
        except ApiError as error:
            conversation.turns = before
            gr.Warning(error.body.error.message, title="Not answered")
            yield False, _messages(before)

    async def _texts(self, request: ChatRequest) -> AsyncIterator[str]:
        """The answer so far, whenever there is more of it; leaving ends it."""
        with self._service.inside():
            async with self._service.answers(request) as answers:
                (writing,) = answers.writings
                done = False
                while not done:
                    done = answers.done
                    yield writing.text.text
                    if not done:
                        await answers.change()

    def _vote(self, conversation: Conversation, given: gr.LikeData) -> None:
        turns = conversation.turns[: _turn_at(conversation.turns, given.index) + 1]
        turn = turns[-1]
        try:
            images = [content_key(Path(path).read_bytes()) for t in turns for path in t.images]
            self._votes.add(
                Vote(
                    request=turn.id,
                    conversation=conversation.id,
                    model=self._service.name,
                    question=turn.question,
                    answer=turn.answer,
                    images=images,
                    vote="up" if given.liked else "down",
                    sampling=turn.sampling,
                )
            )
        except OSError:
            gr.Warning("The vote could not be kept: tell whoever runs this server.")


_EMPTY: dict[str, Any] = {"text": "", "files": []}


def _cleared() -> Shown:
    return [], None, _EMPTY


def _messages(turns: Sequence[Turn]) -> Messages:
    """As the chat shows them."""
    messages: Messages = []
    for turn in turns:
        images = [{"path": path} for path in turn.images]
        messages.append({"role": "user", "content": [*images, html.escape(turn.question)]})
        if turn.answer:
            messages.append({"role": "assistant", "content": html.escape(turn.answer)})
    return messages


def _turn_at(turns: Sequence[Turn], index: int | tuple[int, int]) -> int:
    """The number of the turn that a message of the chat belongs to."""
    message = index if isinstance(index, int) else index[0]
    owners = [number for number, turn in enumerate(turns) for _ in range(1 + bool(turn.answer))]
    return owners[message]


def _sampling(temperature: Value, top_p: Value, longest: Value, seed: Value) -> dict[str, Any]:
    """As the API names it, with a seed of its own where none is given."""
    return {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": longest and int(longest),
        "seed": secrets.randbelow(_LARGEST_SEED) if seed is None else int(seed),
    }


def _request(model: str, turns: Sequence[Turn]) -> ChatRequest:
    """What the API would be sent.

    Raises:
      ApiError: what is typed or uploaded cannot be sent.
    """
    if not turns[-1].question.strip() and not turns[-1].images:
        raise ApiError(400, "Ask something, or give an image.")
    messages: Messages = []
    try:
        for turn in turns:
            images = [
                {"type": "image_url", "image_url": {"url": _data_uri(path)}} for path in turn.images
            ]
            text = {"type": "text", "text": turn.question}
            messages.append({"role": "user", "content": [*images, text]})
            messages.append({"role": "assistant", "content": turn.answer})
        asked = {"model": model, "messages": messages[:-1]} | turns[-1].sampling
        return ChatRequest.model_validate(asked)
    except OSError:
        raise ApiError(400, "An image is no longer here: clear the chat and begin anew.") from None
    except ValidationError as error:
        raise ApiError(400, f"This cannot be sent: {error.errors()[0]['msg']}.") from None


def _data_uri(path: str) -> str:
    return f"data:image/any;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
