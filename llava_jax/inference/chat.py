"""A conversation that remembers its turns."""

from collections.abc import Iterator

from llava_jax.inference.engine import Engine, Picture, Request
from llava_jax.inference.sampling import SamplingParams
from llava_jax.text.templates import ASSISTANT, USER, Turn, with_images


class Chat:
    """Questions about at most one image, asked one after another.

    The image stands in front of the first question, as in training: another image or system prompt
    begins a new conversation.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        image: Picture | None = None,
        system: str | None = None,
        sampling: SamplingParams | None = None,
        max_new_tokens: int = 256,
    ):
        self._engine = engine
        self._sampling = sampling or SamplingParams()
        self._max_new_tokens = max_new_tokens
        self._image = image
        self._system = system
        self._turns: list[Turn] = []

    def say(self, text: str) -> Iterator[str]:
        """The answer, piece by piece. Turns count only once their answer has been read to its end.

        Raises:
          UserError: the conversation has become longer than the model reads.
        """
        images = [] if self._image is None else [self._image]
        first = not self._turns
        question: Turn = (USER, with_images(text, len(images)) if first else text)
        request = Request(
            [*self._turns, question],
            images,
            self._system,
            self._sampling,
            self._max_new_tokens,
        )
        answer = ""
        for piece in self._engine.stream(request):
            answer += piece
            yield piece
        self._turns += [question, (ASSISTANT, answer)]

    def reset(self) -> None:
        """Forgets the turns; image and system prompt stay."""
        self._turns = []

    def show(self, image: Picture) -> None:
        """Begins a new conversation about another image."""
        self._image = image
        self.reset()

    def instruct(self, system: str) -> None:
        """Begins a new conversation under another system prompt; "" for none."""
        self._system = system
        self.reset()
