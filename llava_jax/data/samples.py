"""One training sample: a record's conversation as tokens, with what is learned and what is seen."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int32

from llava_jax.data.records import Record
from llava_jax.text.encode import (
    IMAGE,
    ImageLayout,
    encode_conversation,
    expand_images,
)
from llava_jax.text.templates import Template, parse_markers
from llava_jax.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sample:
    """An encoded conversation, images expanded.

    loss_mask: the tokens to be learned. image_slots: n*P+p for token p of the sample's image n
    (P tokens an image), -1 for words. images: markers in the text, also those cut off at the end.
    """

    tokens: Int32[np.ndarray, " length"]
    loss_mask: Bool[np.ndarray, " length"]
    image_slots: Int32[np.ndarray, " length"]
    images: int


@runtime_checkable
class Encode(Protocol):
    """Turns a record into a sample: a pure function that can be sent to worker processes.

    Raises EncodeError for a record that nothing can be learned from. Images are not read.
    """

    @property
    def image_tokens(self) -> int:
        """Positions of one image."""
        ...

    @property
    def max_length(self) -> int:
        """No sample is longer."""
        ...

    @property
    def pad_id(self) -> int:
        """Stands in padding and under images."""
        ...

    def fingerprint(self) -> str:
        """Changes when any record's sample would."""
        ...

    def __call__(self, record: Record) -> Sample: ...


@dataclass(frozen=True)
class ConversationEncoder:
    """The samples of a template and a tokenizer, cut at max_length, image tokens counted.

    In records without an image, "<image>" is text.
    """

    template: Template
    tokenizer: Tokenizer
    image_tokens: int
    max_length: int

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_id

    def fingerprint(self) -> str:
        choices = repr((self.template, self.image_tokens, self.max_length))
        digest = hashlib.sha256(choices.encode())
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save(folder)
            for path in sorted(Path(folder).iterdir()):
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def __call__(self, record: Record) -> Sample:
        turns = [
            (turn["from"], parse_markers(turn["value"]) if record.images else turn["value"])
            for turn in record.conversations
        ]
        encoded = encode_conversation(turns, self.template, self.tokenizer)
        markers = int((encoded.tokens == IMAGE).sum())
        layouts = [ImageLayout.plain(self.image_tokens)] * markers
        expanded = expand_images(encoded, layouts, pad_id=self.pad_id, max_length=self.max_length)
        return Sample(expanded.tokens, expanded.loss_mask, expanded.image_slots, markers)
