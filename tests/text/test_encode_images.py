"""Images in a conversation: where they stand, and the places they get."""

from typing import Any

import numpy as np
import pytest

from llava_jax.text.encode import (
    IMAGE,
    NEWLINE,
    ImageLayout,
    encode_conversation,
    encode_prompt,
    expand_images,
)
from llava_jax.text.templates import Turn, get_template, parse_markers, render, with_images
from llava_jax.text.tokenizer import Tokenizer
from tests.text.decoded import text_of

V1 = get_template("vicuna_v1")


@pytest.mark.parametrize(
    ("images", "question", "expected"),
    [
        ("front", "What is this? <image>", "<image>\nWhat is this?"),
        ("front", "In <image> and <image>, who?", "In <image> and <image>, who?"),
        ("as_written", "What is this? <image>", "What is this? <image>"),
        ("collapse", "In <image> and <image>, who?", "<image>\nIn  and , who?"),
        ("front", "<image>", "<image>"),
    ],
)
def test_where_images_stand(images: Any, question: str, expected: str, tiny: Tokenizer):
    turns: list[Turn] = [("human", parse_markers(question)), ("gpt", "Me.")]
    encoded = encode_conversation(turns, V1, tiny, images=images)
    assert f"USER: {expected} ASSISTANT: Me." in text_of(encoded.tokens, tiny)
    assert not encoded.loss_mask[encoded.tokens == IMAGE].any()


def test_an_image_as_one_token_of_a_text(llama: dict[bool, Tokenizer]):
    """Hugging Face's way; LLaVA's puts "▁" (29871) after the image, for a new text begins there."""
    turns: list[Turn] = [("user", with_images("What", 1)), ("assistant", None)]
    hf = encode_prompt(turns, get_template("hf_llava_1_5"), llama[False]).tolist()
    ours = encode_prompt(turns, V1, llama[False]).tolist()
    assert hf[hf.index(IMAGE) :][:3] == [IMAGE, 13, 5618]
    assert ours[ours.index(IMAGE) :][:4] == [IMAGE, 29871, 13, 5618]


@pytest.mark.parametrize("legacy", [True, False])
def test_hf_ids_are_those_of_an_image_token(legacy: bool, llama: dict[bool, Tokenizer]):
    template = get_template("hf_llava_1_5")
    turns: list[Turn] = [("user", with_images("What is it?", 1)), ("assistant", "A bus.")]
    turns += [("user", "Sure?"), ("assistant", None)]
    with_token = llama[legacy].with_added(["<image>"])
    spans = render(template, turns)
    text = "".join("<image>" if span.part == IMAGE else str(span.part) for span in spans)
    ids = encode_prompt(turns, template, llama[legacy])
    assert np.where(ids == IMAGE, 32000, ids).tolist() == with_token.encode(text, bos=True)


def test_expansion_gives_each_image_its_places(tiny: Tokenizer):
    turns: list[Turn] = [("human", with_images("Which?", 2)), ("gpt", "The bus.")]
    encoded = encode_conversation(turns, V1, tiny)
    expanded = expand_images(encoded, [ImageLayout.plain(3)] * 2, pad_id=tiny.pad_id)
    assert len(expanded.tokens) == len(encoded.tokens) + 2 * 2
    at_image = expanded.image_slots >= 0
    assert expanded.image_slots[at_image].tolist() == [0, 1, 2, 3, 4, 5]
    assert set(expanded.tokens[at_image]) == {tiny.pad_id}
    assert not expanded.loss_mask[at_image].any()
    text = encoded.tokens != IMAGE
    assert expanded.tokens[~at_image].tolist() == encoded.tokens[text].tolist()
    assert expanded.loss_mask[~at_image].tolist() == encoded.loss_mask[text].tolist()
    first = int(np.argmax(encoded.tokens == IMAGE))
    assert np.flatnonzero(at_image)[:3].tolist() == [first, first + 1, first + 2]


def test_expansion_is_cut_at_the_maximum_length(tiny: Tokenizer):
    turns: list[Turn] = [("human", with_images("Which?", 1)), ("gpt", "The bus.")]
    encoded = encode_conversation(turns, V1, tiny)
    layouts = [ImageLayout.plain(4)]
    whole = expand_images(encoded, layouts, pad_id=0)
    first = int(np.argmax(encoded.tokens == IMAGE))
    cut = expand_images(encoded, layouts, pad_id=0, max_length=first + 2)
    assert cut.image_slots.tolist() == [-1] * first + [0, 1]
    assert cut.tokens.tolist() == whole.tokens[: first + 2].tolist()
    assert not cut.loss_mask.any()
    assert len(expand_images(encoded, layouts, pad_id=0, max_length=9999).tokens) == len(
        whole.tokens
    )


def test_a_layout_may_leave_out_features_and_end_rows(tiny: Tokenizer):
    """The second image's features are counted on from all of the first's."""
    turns: list[Turn] = [("human", with_images("Which?", 2)), ("gpt", "The bus.")]
    rows = ImageLayout(np.array([0, NEWLINE, 2, NEWLINE], np.int32), features=4)
    encoded = encode_conversation(turns, V1, tiny)
    expanded = expand_images(encoded, [rows, ImageLayout.plain(2)], pad_id=0)
    at_image = expanded.image_slots != -1
    assert expanded.image_slots[at_image].tolist() == [0, NEWLINE, 2, NEWLINE, 4, 5]
    assert not expanded.tokens[at_image].any() and not expanded.loss_mask[at_image].any()
