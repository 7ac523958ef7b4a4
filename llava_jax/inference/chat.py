"""A conversation that remembers its turns."""

from collections.abc import Iterator, Sequence

from llava_jax.inference.engine import Engine, Picture, Request
from llava_jax.inference.sampling import SamplingParams
from llava_jax.text.templates import ASSISTANT, USER, Turn, with_images


class Chat:
    """Questions asked one after another, about images or none.

    The first images stand in front of the first question, as in training, those that are added in
    front of the next one. Other first images or another system prompt begin a new conversation.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        images: Sequence[Picture] = (),
        system: str | None = None,
        sampling: SamplingParams | None = None,
        max_new_tokens: int = 256,
    ):
        self._engine = engine
        self._sampling = sampling or SamplingParams()
        self._max_new_tokens = max_new_tokens
        self._system = system
        self._turns: list[Turn] = []
        self._seen: list[Picture] = []
        self._next: list[Picture] = []
        self.show(*images)

    def say(self, text: str) -> Iterator[str]:
        """The answer, piece by piece. Turns count only once their answer has been read to its end.

        Raises:
          UserError: the conversation has become longer than the model reads.
        """
        question: Turn = (USER, with_images(text, len(self._next)))
        images = [*self._seen, *self._next]
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
        self._seen, self._next = images, []

    def add(self, image: Picture) -> None:
        """One image more for the next question; the conversation goes on."""
        self._next.append(image)

    def reset(self) -> None:
        """Forgets the turns and what was added; first images and system prompt stay."""
        self._turns, self._seen = [], []
        self._next = list(self._first)

    def show(self, *images: Picture) -> None:
        """Begins a new conversation about other images."""
        self._first = images
        self.reset()

    def instruct(self, system: str) -> None:
        """Begins a new conversation under another system prompt; "" for none."""
        self._system = system
        self.reset()
