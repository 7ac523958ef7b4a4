"""The engine: conversations with images in, answers out; what chat and evaluation run on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.inference import generate, sampling
from llava_jax.inference.answers import AnswerText
from llava_jax.inference.generate import Limits
from llava_jax.inference.sampling import SamplingParams
from llava_jax.inference.sight import Picture, Sight, content_key
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.text.encode import Encoded, ImageLayout, encode_prompt, expand_images
from llava_jax.text.templates import IMAGE, USER, Template, Turn, get_template, with_images
from llava_jax.text.tokenizer import Tokenizer

_STREAM_STEPS = 8  # tokens between two pieces of a streamed answer

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


@dataclass(frozen=True)
class _Prompt:
    """A request made ready: positions of its prompt, and the keys of its images' features."""

    request: Request
    tokens: Int32[np.ndarray, " length"]
    image_slots: Int32[np.ndarray, " length"]
    images: list[str]
    most: int  # tokens that may be generated


class _Writing:
    """An answer on its way."""

    def __init__(self, prompt: _Prompt, text: AnswerText):
        self.prompt = prompt
        self.text = text
        self.tokens: list[int] = []
        self.done = False

    def push(self, tokens: Iterable[int], done: bool) -> str:
        """Takes the row's newest tokens; returns the text they make certain."""
        if self.done:
            return ""
        piece = ""
        for token in tokens:
            if token == generate.NOTHING or self.text.stopped:
                break
            self.tokens.append(token)
            piece += self.text.push(token)
        self.done = done or self.text.stopped
        return piece + self.text.finish() if self.done else piece

    def answer(self, end_tokens: Sequence[int]) -> Answer:
        stopped = self.text.stopped or self.tokens[-1] in end_tokens
        return Answer(
            self.text.text,
            self.tokens,
            "stop" if stopped else "length",
            len(self.prompt.tokens),
        )


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
    ):
        """Takes a model as `weights.workdir.load_trained` gives it.

        image_mode: how `images.preprocess` makes an image a square; AnyRes does not ask.
        as_trained: prompts as this project trains; False for checkpoints of the original, whose
          inference words some templates differently (see `encode_prompt`).

        Raises:
          UserError: an unknown template.
        """
        self.config, self.compute, self.tokenizer = config, compute, tokenizer
        self.template = get_template(template) if isinstance(template, str) else template
        self._params = jax.device_put(in_compute_dtype(params, compute))
        self._as_trained = as_trained
        self._end_tokens, self._end_strings = _ends(self.template, tokenizer, as_trained)
        self._sight = Sight(config, self._params, compute, image_mode)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_rows: int = 32,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Answers in the order of the requests.

        batch_rows: requests answered together, rounded up to one of a few numbers.

        Raises:
          UserError: a request whose prompt does not fit the model, whose images are not as many as
            its markers, or cannot be read.
        """
        prompts = self._prepare(requests)
        order = sorted(
            range(len(prompts)),
            key=lambda i: (prompts[i].most, len(prompts[i].tokens)),
            reverse=True,
        )
        # All batches of a call have the same rows: a wide batch costs less than another program.
        rows = generate.bucket(min(batch_rows, len(prompts)), generate.FEWEST_ROWS)
        answers: dict[int, Answer] = {}
        for first in range(0, len(order), rows):
            chosen = order[first : first + rows]
            writings = [self._writing(prompts[i]) for i in chosen]
            for _ in self._run(writings, rows, generate.CHUNK):
                pass
            for i, writing in zip(chosen, writings, strict=True):
                answers[i] = writing.answer(self._end_tokens)
            if progress:
                progress(len(answers), len(prompts))
        return [answers[i] for i in range(len(prompts))]

    def stream(self, request: Request) -> Iterator[str]:
        """The pieces of one answer while it is being generated; errors as for `generate`."""
        writing = self._writing(*self._prepare([request]))
        for (piece,) in self._run([writing], generate.FEWEST_ROWS, _STREAM_STEPS):
            if piece:
                yield piece

    def _prepare(self, requests: Sequence[Request]) -> list[_Prompt]:
        keys = [[content_key(image) for image in request.images] for request in requests]
        images = {
            key: image
            for request, names in zip(requests, keys, strict=True)
            for key, image in zip(names, request.images, strict=True)
        }
        layouts = self._sight.layouts(images)
        prompts = [self._prompt(*pair, layouts) for pair in zip(requests, keys, strict=True)]
        self._sight.see(images, layouts)
        return prompts

    def _prompt(
        self, request: Request, images: list[str], layouts: Mapping[str, ImageLayout]
    ) -> _Prompt:
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
            raise UserError(
                f"the prompt takes {length} tokens ({for_images} of them "
                f"for images) and the model reads at most {longest}, its answer included: shorten "
                "the text or begin a new conversation"
            )
        most = min(request.max_new_tokens, longest - length)
        return _Prompt(request, expanded.tokens, expanded.image_slots, images, most)

    def _writing(self, prompt: _Prompt) -> _Writing:
        stops = (*prompt.request.stops, *self._end_strings)
        return _Writing(prompt, AnswerText(self.tokenizer, stops))

    def _run(self, writings: list[_Writing], rows: int, steps: int) -> Iterator[list[str]]:
        """Generates a batch; after each `steps` tokens gives each answer's newest text."""
        prompts = [writing.prompt for writing in writings]
        # A prompt alone is read alone: only decoding wants rows that fill the batch.
        reading = 1 if len(prompts) == 1 else rows
        state = generate.prefill(
            self.config,
            self.compute,
            self._params,
            self._batch(prompts, reading),
            self._limits(prompts, reading),
        )
        limits = self._limits(prompts, rows)
        room = max(len(prompt.tokens) + prompt.most for prompt in prompts)
        state = generate.grow(state, generate.power_of_two(room, generate.SHORTEST_CACHE), rows)
        tokens = state.token[:, None]
        while True:
            # Rows that only fill the batch come last, and are left out by the zip.
            news = zip(writings, np.asarray(tokens).tolist(), state.done.tolist(), strict=False)
            yield [writing.push(row, done) for writing, row, done in news]
            stopped = np.ones(rows, bool)
            stopped[: len(writings)] = [writing.done for writing in writings]
            if stopped.all():
                return
            state, tokens = generate.decode(
                self.config, self.compute, self._params, state, limits, stopped, np.int32(steps)
            )

    def _limits(self, prompts: list[_Prompt], rows: int) -> Limits:
        filling = [SamplingParams()] * (rows - len(prompts))
        most = np.zeros(rows, np.int32)
        most[: len(prompts)] = [prompt.most for prompt in prompts]
        stops = np.tile(np.array(self._end_tokens, np.int32), (rows, 1))
        chosen = sampling.stack([*(prompt.request.sampling for prompt in prompts), *filling])
        return Limits(chosen, jnp.asarray(most), jnp.asarray(stops))

    def _batch(self, prompts: list[_Prompt], rows: int) -> dict[str, np.ndarray]:
        """The prompts padded to one length and one number of views."""
        length = generate.bucket(
            max(len(prompt.tokens) for prompt in prompts), generate.SHORTEST_PROMPT
        )
        features = [[self._sight.features(key) for key in prompt.images] for prompt in prompts]
        views = generate.power_of_two(max(sum(map(len, images)) for images in features))
        vision = self.config.vision
        batch = {
            "tokens": np.full((rows, length), self.tokenizer.pad_id, np.int32),
            "image_slots": np.full((rows, length), -1, np.int32),
            "lengths": np.ones(rows, np.int32),
            "features": np.zeros(
                (rows, views, vision.features, vision.feature_width), self.compute.dtype
            ),
        }
        for row, prompt in enumerate(prompts):
            size = len(prompt.tokens)
            batch["tokens"][row, :size] = prompt.tokens
            batch["image_slots"][row, :size] = prompt.image_slots
            batch["lengths"][row] = size
            if prompt.images:
                seen = np.concatenate(features[row])
                batch["features"][row, : len(seen)] = seen
        return batch


def in_compute_dtype(params: partition.Params, compute: Compute) -> dict[str, Any]:
    """Kernels and word embeddings in the dtype they are multiplied in; the rest as it is.

    The networks cast them anyway at each use, so this changes no result and halves their reading.
    """
    leaves = partition.flatten(params)
    return partition.unflatten(
        {
            path: leaf.astype(compute.dtype, copy=False)
            if path.endswith(("/kernel", "/embedding"))
            else leaf
            for path, leaf in leaves.items()
        }
    )


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
