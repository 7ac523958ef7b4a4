"""What both sides of a conversion are asked, and what they answer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from llava_jax.images import preprocess
from llava_jax.text.encode import IMAGE, Encoded, Expanded, encode_prompt, expand_images
from llava_jax.text.templates import USER, get_template, with_images
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.stored_llava import StoredLlava

NEW_TOKENS = 16
_QUESTION = "What is in the picture?"


@dataclass(frozen=True)
class Trial:
    """What both sides are shown: a prompt with its image's positions, and normalised views."""

    prompt: Expanded
    views: Float[np.ndarray, "views height width 3"]
    size: tuple[int, int]  # width and height of the image


@dataclass(frozen=True)
class Outcome:
    """What one side makes of it: the logits after each position, and greedy tokens."""

    logits: Float[np.ndarray, "length vocabulary"]
    tokens: list[int]


def make_trial(llava: StoredLlava, tokenizer: Tokenizer | None) -> Trial:
    """A question about a drawn picture; without a tokenizer, ids from all over the vocabulary."""
    image = _picture()
    config = llava.config
    if tokenizer is None:
        used = llava.usage.vocabulary or config.language.vocab_size
        words = np.linspace(3, used - 1, 14).astype(np.int32)
        tokens = np.concatenate([[1], words[:4], [IMAGE], words[4:]]).astype(np.int32)
        pad = 0
    else:
        template = get_template(llava.usage.template)
        tokens = encode_prompt([(USER, with_images(_QUESTION, 1))], template, tokenizer)
        pad = tokenizer.pad_id
    encoded = Encoded(tokens, np.zeros(len(tokens), bool))
    prompt = expand_images(encoded, [config.layout(image.size)], pad_id=pad)
    vision = config.vision
    if config.anyres is not None:
        views = config.anyres.views(image, vision.image_size)
    else:
        views = preprocess(image, vision.image_size, llava.usage.image_mode, vision.mean)[None]
    mean, std = (np.array(x, np.float32) for x in (vision.mean, vision.std))
    return Trial(prompt, (views.astype(np.float32) / 255 - mean) / std, image.size)


def _picture() -> Image.Image:
    """A landscape picture with something everywhere."""
    across, down = np.meshgrid(np.linspace(0, 255, 480), np.linspace(0, 255, 320))
    pixels = np.stack([across, down, 255 - across], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 80, 200, 220), fill=(220, 30, 30))
    draw.rectangle((260, 120, 430, 290), fill=(30, 60, 200))
    return image
