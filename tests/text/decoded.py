"""What encoded conversations say."""

import re

import numpy as np

from llava_jax.text.encode import Encoded
from llava_jax.text.tokenizer import Tokenizer


def learned(encoded: Encoded, tokenizer: Tokenizer) -> str:
    """The text that is learned, special tokens shown."""
    return tokenizer.decode(encoded.tokens[encoded.loss_mask].tolist(), skip_special=False)


def text_of(tokens: np.ndarray, tokenizer: Tokenizer) -> str:
    """The whole text without special tokens, "<image>" where an image stands."""
    chunks = re.split(r"-200,?", ",".join(map(str, tokens.tolist())))
    ids = [[int(i) for i in chunk.split(",") if i] for chunk in chunks]
    return "<image>".join(tokenizer.decode(chunk) for chunk in ids)
