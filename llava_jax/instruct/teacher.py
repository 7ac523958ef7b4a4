"""What a teacher is: it reads a scene's symbols and answers with question-answer turns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from llava_jax.instruct.scene import Scene

ResponseType = Literal["conversation", "detail", "complex"]
RESPONSE_TYPES: tuple[ResponseType, ...] = get_args(ResponseType)


@dataclass(frozen=True)
class Turn:
    question: str
    answer: str


# (scene, type, seed) -> the turns of one response; none where the scene gives nothing to say.
Teacher = Callable[[Scene, ResponseType, int], list[Turn]]
