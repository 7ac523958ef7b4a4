"""The engine: conversations with images in, answers out; what chat and evaluation run on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int64

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.inference.answers import AnswerText, Prompt, Writing
from llava_jax.inference.parameters import prepared
from llava_jax.inference.placement import placed_params
from llava_jax.inference.sampling import SamplingParams
from llava_jax.inference.scheduler import Scheduler, Shapes
from llava_jax.inference.sight import Picture, Sight, content_key, power_of_two
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.text.encode import (
    NEWLINE,
    Encoded,
    Expanded,
    ImageLayout,
    encode_prompt,
    expand_images,
)
from llava_jax.text.templates import IMAGE, USER, Template, Turn, get_template, with_images
from llava_jax.text.tokenizer import Tokenizer

_LEAST_ROOM = 512  # tokens

Progress = Callable[[int, int], None]  # requests done, requests in all


@dataclass(frozen=True)
class Request:
    """One answer to be generated.

    turns: (role, message) as `text.encode.encode_prompt` takes them, the last one the user's; each
      IMAGE in them stands for the next of `images` (PIL images, or the bytes of image files).
    system: instead of the template's system prompt; "" for none.
    stops: strings that end the answer and are no part of it.
    """

    turns: Sequence[Turn]
    images: Sequence[Picture] = ()
    system: str | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_new_tokens: int = 256
    stops: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")


class PromptTooLong(UserError):
    """A prompt that leaves no room for an answer."""


def ask(question: str, *images: Picture, **options: Any) -> Request:
    """A single question about images, which stand in front of it; options as in `Request`."""
    return Request([(USER, with_images(question, len(images)))], images, **options)


@dataclass(frozen=True)
class Answer:
    """text: without what ended it. tokens: generated ids, with what ended it.

    ended: "stop" by an end token or a stop string, "length" by the limit of tokens.
    prompt_tokens: length of the prompt with its images.
    """

    text: str
    tokens: list[int]
    ended: Literal["stop", "length"]
    prompt_tokens: int


class Engine:
    """Answers requests with one model, in batches of static shapes.

    An image's features are computed once, however many requests show it; those of the images seen
    last are kept for later calls.
    """

    def __init__(
        self,
        config: LlavaConfig,
        params: partition.Params,
        compute: Compute,
        tokenizer: Tokenizer,
        template: str | Template,
        image_mode: str,
        *,
        as_trained: bool = True,
        mesh: Mesh | None = None,
    ):
        """Takes a model as `weights.workdir.load_trained` gives it.

        image_mode: how `images.preprocess` makes an image a square; AnyRes does not ask.
        as_trained: prompts as this project trains; False for checkpoints of the original, whose
          inference words some templates differently (see `encode_prompt`).
        mesh: the chips that share each product, see `placement.tensor_mesh`; None: one alone.

        Raises:
          UserError: an unknown template, or chips that cannot share the model's heads.
        """
        self.config, self.compute, self.tokenizer = config, compute, tokenizer
        self.image_mode = "anyres" if config.anyres else image_mode
        self.template = get_template(template) if isinstance(template, str) else template
        self._mesh = mesh
        self._params = placed_params(prepared(params, compute), config, mesh)
        self._as_trained = as_trained
        self._end_tokens, self._end_strings = _ends(self.template, tokenizer, as_trained)
        self.sight = Sight(config, self._params, compute, image_mode)
        self._schedulers: dict[Shapes, Scheduler] = {}

    def generate(
        self,
        requests: Sequence[Request],
        *,
        slots: int = 32,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Answers in the order of the requests.

        slots: requests answered at a time.

        Raises:
          UserError: a request whose prompt does not fit the model, whose images are not as many as
            its markers, or cannot be read.
        """
        prompts = self.prepare(requests)
        writings = [self.writing(*pair) for pair in zip(requests, prompts, strict=True)]
        slots = power_of_two(min(slots, len(requests)), 2)
        scheduler = self.scheduler(Shapes(slots=slots, room=self._room(prompts)))
        for writing in writings:
            scheduler.submit(writing)
        going, done = True, 0
        while going:
            going = scheduler.step(pieces=slots)
            if progress and (now := sum(writing.done for writing in writings)) > done:
                progress(done := now, len(writings))
        return [answer_of(writing) for writing in writings]

    def stream(self, request: Request) -> Iterator[str]:
        """The pieces of one answer while it is being generated; errors as for `generate`."""
        (prompt,) = self.prepare([request])
        writing = self.writing(request, prompt)
        scheduler, given = self.scheduler(Shapes(slots=2)), 0
        scheduler.submit(writing)
        try:
            while scheduler.step() or given < len(writing.text.text):
                piece = writing.text.text[given:]
                given += len(piece)
                if piece:
                    yield piece
        finally:
            writing.cancel()  # where the reader has left

    def scheduler(self, shapes: Shapes) -> Scheduler:
        """The one of these shapes; what it holds of former prompts shortens the next."""
        if shapes not in self._schedulers:
            self._schedulers[shapes] = Scheduler(
                self.config, self.compute, self._params, shapes, self._mesh
            )
        return self._schedulers[shapes]

    def warm_up(self, progress: Progress) -> None:
        """Compiles what looks at images; a scheduler warms up on its own."""
        self.sight.warm_up(progress)

    def prepare(self, requests: Sequence[Request]) -> list[Prompt]:
        """Prompts of requests, their images seen; errors as for `generate`."""
        keys = [[content_key(image) for image in request.images] for request in requests]
        images = {
            key: image
            for request, names in zip(requests, keys, strict=True)
            for key, image in zip(names, request.images, strict=True)
        }
        layouts = self.sight.layouts(images)
        expanded = [self._expanded(*pair, layouts) for pair in zip(requests, keys, strict=True)]
        seen = self.sight.see(images, layouts)
        return [
            self._prompt(request, names, prompt, seen)
            for request, names, prompt in zip(requests, keys, expanded, strict=True)
        ]

    def _room(self, prompts: Sequence[Prompt]) -> int:
        """What a slot needs for the longest of them; of a few sizes, so that few are compiled."""
        needed = max((len(prompt.tokens) + prompt.most for prompt in prompts), default=0)
        return min(power_of_two(needed, _LEAST_ROOM), self.config.language.max_length)

    def writing(
        self, request: Request, prompt: Prompt, notify: Callable[[Writing], None] | None = None
    ) -> Writing:
        """An answer that has not begun, for a scheduler."""
        stops = (*request.stops, *self._end_strings)
        return Writing(prompt, AnswerText(self.tokenizer, stops), notify)

    def _expanded(
        self, request: Request, images: list[str], layouts: Mapping[str, ImageLayout]
    ) -> Expanded:
        """The prompt's tokens with the places of its images."""
        tokens = encode_prompt(
            request.turns,
            self.template,
            self.tokenizer,
            request.system,
            as_trained=self._as_trained,
        )
        markers = int((tokens == IMAGE).sum())
        if markers != len(images):
            raise UserError(
                f"the prompt has places for {markers} images and {len(images)} are given: "
                "give one image for each IMAGE in the turns"
            )
        expanded = expand_images(
            Encoded(tokens, np.zeros(len(tokens), bool)),
            [layouts[key] for key in images],
            pad_id=self.tokenizer.pad_id,
        )
        length, longest = len(expanded.tokens), self.config.language.max_length
        if length == 0:
            raise UserError("the prompt is empty: ask something, or give an image")
        if length >= longest:
            for_images = sum(len(layouts[key].slots) for key in images)
            raise PromptTooLong(
                f"the prompt takes {length} tokens ({for_images} of them "
                f"for images) and the model reads at most {longest}, its answer included: shorten "
                "the text or begin a new conversation"
            )
        return expanded

    def _prompt(
        self,
        request: Request,
        images: list[str],
        expanded: Expanded,
        seen: Mapping[str, Float[np.ndarray, "slots d"]],
    ) -> Prompt:
        nothing = np.zeros((0, self.config.language.width), self.compute.dtype)
        length = len(expanded.tokens)
        return Prompt(
            expanded.tokens,
            _identities(expanded, images, seen),
            expanded.image_slots,
            np.concatenate([nothing, *(seen[key] for key in images)]),
            request.sampling,
            min(request.max_new_tokens, self.config.language.max_length - length),
            self._end_tokens,
        )


def answer_of(writing: Writing) -> Answer:
    """What a writing came to."""
    return Answer(
        writing.text.text,
        [token.id for token in writing.tokens],
        "length" if writing.ended == "length" else "stop",
        len(writing.prompt.tokens),
    )


def _identities(
    expanded: Expanded, images: list[str], seen: Mapping[str, np.ndarray]
) -> Int64[np.ndarray, "length 2"]:
    """Each token's id; where an image stands, which image and which part of it."""
    names = [np.full(len(seen[key]), int(key[:15], 16)) for key in images]
    parts = [np.arange(1, 1 + len(seen[key])) for key in images]
    identities = np.stack([expanded.tokens, np.zeros_like(expanded.tokens)], axis=1)
    identities = identities.astype(np.int64)
    places = expanded.image_slots >= 0
    if places.any():
        image = np.stack([np.concatenate(names), np.concatenate(parts)], axis=1)
        identities[places] = image[expanded.image_slots[places]]
    identities[expanded.image_slots == NEWLINE, 1] = -1
    return identities


def _ends(
    template: Template, tokenizer: Tokenizer, as_trained: bool
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What a model of this template writes after an answer: end tokens, and strings."""
    layout = template.layout if as_trained else template.chat or template.layout
    after = layout.answer.partition("{}")[2]
    # Version 0's newline may stand inside an answer as well: what tells is the "###" behind it.
    end = (after + layout.separator).strip() or after.strip(" ")
    ids = tokenizer.encode(end)
    if len(ids) == 1 and ids[0] in tokenizer.special_ids:
        return tuple({tokenizer.eos_id, ids[0]}), ()
    return (tokenizer.eos_id,), (end,) if end else ()
