"""What is asked of a teacher, and what comes back: question-answer turns about a scene."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llava_jax.instruct.scene import Modality, Scene

# The kinds of response by modality: the paper's three for images, and their counterparts.
RESPONSES: dict[Modality, tuple[str, ...]] = {
    "image": ("conversation", "detail", "complex"),
    "video": ("conversation", "detail", "temporal"),  # temporal: order and cause
    "space": ("conversation", "detail", "viewpoint"),  # viewpoint: relations, occlusion
    "embodied": ("conversation", "detail", "plan"),  # plan: navigation and actions
}


@dataclass(frozen=True)
class Turn:
    question: str
    answer: str


@dataclass(frozen=True)
class Request:
    """One response that is wanted; `response` is one of the scene's modality's kinds.

    record: its id, where it has one of its own.
    """

    scene: Scene
    response: str
    seed: int = 0
    record: str = ""

    @property
    def id(self) -> str:
        return self.record or f"{self.scene.id}-{self.response}"


@dataclass(frozen=True)
class Usage:
    """What a response took. usd is 0 where the teacher has no price."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Response:
    """The turns that answer a request, or why there are none.

    problem: "" where there are turns or the scene gives nothing to say; else a class and words,
      as "unreadable: no 'Answer:' after the first question".
    teacher: its name, as provenance records it. prompt_hash: of the whole prompt, "" without one.
    """

    request: Request
    turns: tuple[Turn, ...]
    teacher: str
    problem: str = ""
    prompt_hash: str = ""
    usage: Usage = Usage()


@runtime_checkable
class Teacher(Protocol):
    """Whoever writes responses. Each request gets one response, in any order, as they are ready."""

    @property
    def name(self) -> str: ...

    def respond(self, requests: Sequence[Request]) -> Iterator[Response]: ...
