"""Conversations to token ids and a loss mask, and images to their places in the sequence.

Like LLaVA, the rendered text is cut at its images and each chunk is tokenised on its own; with
LLaMA's vocabulary this leaves a stray "▁" (29871) on both sides of most images, which the released
models know. The mask marks each token that holds at least one learned character, so it cannot get
out of step with the tokens: the original counts tokens instead, and masks the whole sample when its
counts disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int32

from llava_jax.errors import UserError
from llava_jax.text.templates import (
    ASSISTANT,
    IMAGE,
    USER,
    Content,
    Span,
    Template,
    Turn,
    render,
)
from llava_jax.text.tokenizer import Tokenizer

ROLES = {"human": USER, "user": USER, "gpt": ASSISTANT, "assistant": ASSISTANT}

ImagePlacement = Literal["front", "as_written", "collapse"]

NEWLINE = -2
"""Among image slots: the learned end of a row of an image's features."""


class EncodeError(UserError):
    """A conversation that cannot be learned from."""


@dataclass(frozen=True)
class Encoded:
    """A conversation's ids, IMAGE where an image stands, and which of them are learned."""

    tokens: Int32[np.ndarray, " length"]
    loss_mask: Bool[np.ndarray, " length"]


@dataclass(frozen=True)
class ImageLayout:
    """What stands in the sequence where an image was.

    slots: the image's feature (0 up to `features`) at each of its positions, or NEWLINE.
    features: how many it has, those that stand nowhere included.
    """

    slots: Int32[np.ndarray, " positions"]
    features: int

    @staticmethod
    def plain(features: int) -> "ImageLayout":
        """Every feature once, in order."""
        return ImageLayout(np.arange(features, dtype=np.int32), features)


@dataclass(frozen=True)
class Expanded:
    """A conversation with a position for everything that stands for its images.

    tokens: the pad id at image positions. image_slots: which feature of the conversation's images,
    counted through them, stands there, or NEWLINE; -1 for words.
    """

    tokens: Int32[np.ndarray, " length"]
    loss_mask: Bool[np.ndarray, " length"]
    image_slots: Int32[np.ndarray, " length"]


def encode_conversation(
    turns: Sequence[Turn],
    template: Template,
    tokenizer: Tokenizer,
    *,
    images: ImagePlacement = "front",
    literal: bool = True,
) -> Encoded:
    """A conversation to learn from: every answer is learned, with the text that ends it.

    turns: (role, message), role "human"/"user" or "gpt"/"assistant"; a message is a string (which
    holds no image, whatever it says) or a sequence of strings and IMAGE (`parse_markers` makes it).
    images: "front" moves a message's only image to its front, with a newline, as LLaVA has done
    since v1.0, and leaves several where they stand; "as_written" leaves all (LLaVA-1.0 as first
    released); "collapse" is the original's code: several become one, at the front.
    literal: whether "</s>" and its like in a message are only text. The original takes them for
    special tokens: False.

    With images="collapse" and literal=False the ids and the mask are the original's wherever it
    does not mask the sample or run two turns together; without such text and with at most one
    image a message, the defaults give the same. A leading answer without a question is left out,
    as there; an empty answer is learned as an immediate end; a last question without an answer
    stays as unlearned text. EncodeError: roles unknown or out of order, nothing to learn, or, for a
    caption template, anything but one message with an image and one caption.
    """
    turns = _ordered(turns, template)
    turns = [(role, _placed(content, images)) for role, content in turns]
    return _encode_spans(render(template, turns), template, tokenizer, literal)


def encode_prompt(
    turns: Sequence[Turn],
    template: Template,
    tokenizer: Tokenizer,
    system: str | None = None,
    *,
    literal: bool = True,
    as_trained: bool = False,
) -> Int32[np.ndarray, " length"]:
    """Ids of a prompt, IMAGE where an image stands.

    turns: as in `encode_conversation`; images stay where they stand (`with_images` puts them in
    front). After a user's message, or a last answer of None, the prompt ends where the answer
    begins ("ASSISTANT:", no space after it).
    system: replaces the template's system prompt; "" leaves it out.
    literal: typed "</s>" is text, as typed "<image>" always is; False recognises special tokens.
    as_trained: text as in training where the original's inference differs from it: `llava_v0`'s
    newlines, and `plain`, where the caption follows the image alone. For models trained here.
    """
    named = [(_role(number, role), content) for number, (role, content) in enumerate(turns)]
    if named and named[-1][0] == USER:
        named.append((ASSISTANT, None))
    for number, (_, content) in enumerate(named[:-1]):
        if content is None:
            raise EncodeError(f"Message {number} has no text (null).")
    spans = render(template, named, system=system, chat=not as_trained)
    return _encode_spans(spans, template, tokenizer, literal).tokens


def expand_images(
    encoded: Encoded,
    layouts: Sequence[ImageLayout],
    *,
    pad_id: int,
    max_length: int | None = None,
) -> Expanded:
    """Gives the images, one layout each, their positions, then cuts at `max_length`.

    The cut comes after the expansion, as in the original, so it may fall inside an image; what is
    left may then hold nothing to learn, which `loss_mask.any()` tells.
    """
    is_image = encoded.tokens == IMAGE
    lengths = np.ones(len(is_image), np.int64)
    slots, features = [np.zeros(0, np.int32)], 0
    for position, layout in zip(np.flatnonzero(is_image), layouts, strict=True):
        lengths[position] = len(layout.slots)
        slots.append(np.where(layout.slots >= 0, layout.slots + features, layout.slots))
        features += layout.features
    source = np.repeat(np.arange(len(is_image)), lengths)
    at_image = is_image[source]
    image_slots = np.full(len(source), -1, np.int32)
    image_slots[at_image] = np.concatenate(slots)
    tokens = np.where(at_image, pad_id, encoded.tokens[source]).astype(np.int32)
    kept = slice(max_length)
    return Expanded(tokens[kept], encoded.loss_mask[source][kept], image_slots[kept])


def _role(number: int, role: str) -> str:
    if role not in ROLES:
        raise EncodeError(f'Message {number} is from {role!r}, not from "human" or "gpt".')
    return ROLES[role]


def _ordered(turns: Sequence[Turn], template: Template) -> list[tuple[str, Content]]:
    """The turns under our role names, checked."""
    checked: list[tuple[str, Content]] = []
    for number, (role, content) in enumerate(turns):
        role = _role(number, role)
        if content is None:
            raise EncodeError(f"Message {number} has no text (null).")
        if not template.free_order:
            if role == ASSISTANT and number == 0:
                continue
            if checked and checked[-1][0] == role:
                pair = f"Messages {number - 1} and {number}"
                raise EncodeError(f"{pair} are from the same side; they must alternate.")
        checked.append((role, content))
    roles = [role for role, _ in checked]
    if ASSISTANT not in roles:
        raise EncodeError("The conversation holds no answer to learn.")
    is_caption = roles == [USER, ASSISTANT] and _image_count(checked[0][1]) > 0
    if template.caption_only and not is_caption:
        raise EncodeError(
            f"Template {template.name!r} takes one message with an image and one caption."
        )
    return checked


def _image_count(content: Content) -> int:
    return sum(part == IMAGE for part in content)


def _placed(content: Content, images: ImagePlacement) -> Content:
    """The message with its images where they belong.

    The text around an image that is moved loses its outer white space, as in the original.
    """
    if isinstance(content, str) or images == "as_written":
        return content
    count = _image_count(content)
    if count == 0 or (count > 1 and images == "front"):
        return content
    text = "".join(str(part) for part in content if part != IMAGE).strip()
    return [IMAGE, f"\n{text}"] if text else [IMAGE]


def _encode_spans(
    spans: Sequence[Span], template: Template, tokenizer: Tokenizer, literal: bool
) -> Encoded:
    chunks: list[list[Span]] = [[]]
    for span in spans:
        if span.part == IMAGE:
            chunks.append([])
        else:
            chunks[-1].append(span)
    tokens = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    masks = [np.zeros(len(tokens), bool)]
    for number, chunk in enumerate(chunks):
        if number:
            tokens.append(IMAGE)
            masks.append(np.zeros(1, bool))
        pieces = [(str(span.part), span.protocol or not literal) for span in chunk]
        begins = number == 0 or not template.image_is_token
        ids, offsets = tokenizer.encode_pieces(pieces, begins=begins)
        tokens += ids
        masks.append(_learned_tokens(chunk, offsets))
    return Encoded(np.array(tokens, np.int32), np.concatenate(masks))


def _learned_tokens(
    chunk: Sequence[Span], offsets: Sequence[tuple[int, int]]
) -> Bool[np.ndarray, " tokens"]:
    """Which tokens hold a learned character."""
    lengths = [len(str(span.part)) for span in chunk]
    learned = np.repeat([span.learned for span in chunk], lengths)
    so_far = np.concatenate([[0], np.cumsum(learned)])  # learned characters before each position
    start, end = np.array(offsets, np.int64).reshape(-1, 2).T
    return so_far[end] > so_far[start]
