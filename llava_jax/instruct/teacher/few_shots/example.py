"""What an example of a prompt consists of."""

from collections.abc import Mapping
from dataclasses import dataclass

from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn


@dataclass(frozen=True)
class Example:
    """A scene of nobody, and one response of each kind to it.

    Descriptions have a turn like every kind, although a teacher writes the answer alone.
    captions_suffice: the conversation follows from the captions, as that of the paper's inputs has
      to; else it also uses the boxes.
    """

    scene: Scene
    responses: Mapping[str, tuple[Turn, ...]]
    captions_suffice: bool = False


def turns(*pairs: tuple[str, str]) -> tuple[Turn, ...]:
    """Turns of (question, answer)."""
    return tuple(Turn(question, answer) for question, answer in pairs)
