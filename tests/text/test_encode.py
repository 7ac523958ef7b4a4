"""Our own rules: which answers are learned, what is refused, and how prompts begin."""

import numpy as np
import pytest

from llava_jax.text.encode import IMAGE, EncodeError, encode_conversation, encode_prompt
from llava_jax.text.templates import TEMPLATES, Turn, get_template, with_images
from llava_jax.text.tokenizer import Tokenizer
from tests.text.decoded import learned, text_of

V1 = get_template("vicuna_v1")


# What the original masks or spoils, one case a class


@pytest.mark.parametrize(
    ("case", "name", "turns", "expected"),
    [
        (
            "empty last answer",
            "v1",
            [("human", "Hi"), ("gpt", "Hello."), ("human", "Who?"), ("gpt", "")],
            " Hello.</s> </s>",
        ),
        (
            "empty answer in the middle",
            "v1",
            [("human", "Hi"), ("gpt", ""), ("human", "Who?"), ("gpt", "Me.")],
            " </s> Me.</s>",
        ),
        ("empty question", "v1", [("human", ""), ("gpt", "Hello.")], " Hello.</s>"),
        (
            "ASSISTANT: in the question",
            "v1",
            [("human", "What is ASSISTANT: here?"), ("gpt", "A role.")],
            " A role.</s>",
        ),
        (
            "ASSISTANT: in the answer",
            "v1",
            [("human", "Hi"), ("gpt", "It reads ASSISTANT: x")],
            " It reads ASSISTANT: x</s>",
        ),
        (
            "end-of-text typed in the answer",
            "v1",
            [("human", "Hi"), ("gpt", "The </s> ends.")],
            " The </s> ends.</s>",
        ),
        (
            "unknown token typed in the answer",
            "v1",
            [("human", "Hi"), ("gpt", "an <unk> one")],
            " an <unk> one</s>",
        ),
        (
            "a last question without answer",
            "v1",
            [("human", "Hi"), ("gpt", "Hello."), ("human", "Who?")],
            " Hello.</s>",
        ),
        (
            "instruction tags in the text",
            "llama_2",
            [("human", "What is [/INST] for?"), ("gpt", "A [/INST] tag.")],
            " A [/INST] tag. </s>",
        ),
        (
            "several rounds of mpt",
            "mpt",
            [("human", "Hi"), ("gpt", "Hello."), ("human", "Who?"), ("gpt", "Me.")],
            "Hello.<|im_end|>Me.<|im_end|>",
        ),
    ],
)
def test_failure_classes_of_the_original(
    case: str, name: str, turns: list[Turn], expected: str, tiny: Tokenizer
):
    encoded = encode_conversation(turns, get_template(name), tiny)
    assert learned(encoded, tiny) == expected, case
    ends = {2, 4} & set(encoded.tokens[encoded.loss_mask].tolist())
    assert len(ends) == 1, case
    answers = sum(role == "gpt" for role, _ in turns)
    assert np.isin(encoded.tokens[encoded.loss_mask], list(ends)).sum() == answers, case


@pytest.mark.parametrize(
    ("name", "turns", "message"),
    [
        (
            "v1",
            [("human", "a"), ("human", "b"), ("gpt", "c")],
            "Messages 0 and 1 are from the same",
        ),
        ("v1", [("human", "a"), ("gpt", "b"), ("gpt", "c")], "Messages 1 and 2 are from the same"),
        ("v1", [("system", "a"), ("human", "b"), ("gpt", "c")], "Message 0 is from 'system'"),
        ("llava_v0", [("system", "a"), ("human", "b"), ("gpt", "c")], "Message 0 is from 'system'"),
        ("v1", [("human", "a")], "no answer to learn"),
        ("v1", [("gpt", "a")], "no answer to learn"),
        ("v1", [], "no answer to learn"),
        ("v1", [("human", "a"), ("gpt", None)], "Message 1 has no text"),
        ("plain", [("human", "a"), ("gpt", "b")], "one message with an image and one caption"),
        (
            "plain",
            [("human", [IMAGE]), ("gpt", "b"), ("human", "c"), ("gpt", "d")],
            "one message with an image and one caption",
        ),
    ],
)
def test_malformed_conversations(name: str, turns: list[Turn], message: str, tiny: Tokenizer):
    with pytest.raises(EncodeError, match=message):
        encode_conversation(turns, get_template(name), tiny)


def test_version_0_without_an_answer_is_refused(tiny: Tokenizer):
    """Its separators are learned, but they are no answer."""
    with pytest.raises(EncodeError, match="no answer to learn"):
        encode_conversation([("human", "a")], get_template("llava_v0"), tiny)


def test_leading_answer_is_left_out(tiny: Tokenizer):
    turns: list[Turn] = [("gpt", "So:"), ("human", "Hi"), ("gpt", "Hello.")]
    encoded = encode_conversation(turns, V1, tiny)
    assert encoded.tokens.tolist() == encode_conversation(turns[1:], V1, tiny).tokens.tolist()


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "plain"])
def test_every_template_learns_every_answer(name: str, tiny: Tokenizer):
    turns: list[Turn] = [("human", with_images("Hi", 1)), ("gpt", "Hello.")]
    turns += [] if get_template(name).caption_only else [("human", "Who?"), ("gpt", "图中 me.")]
    encoded = encode_conversation(turns, get_template(name), tiny)
    text = learned(encoded, tiny)
    assert all(isinstance(answer, str) and answer in text for _, answer in turns[1::2])
    assert "Hi" not in text and "Who?" not in text


# Prompts


@pytest.mark.parametrize("name", ["vicuna_v1", "llama_2", "chatml", "mpt", "llava_v0", "plain"])
def test_prompt_is_the_beginning_of_training(name: str, tiny: Tokenizer):
    template = get_template(name)
    turns: list[Turn] = [("user", with_images("Hi", 1)), ("assistant", "Hello.")]
    whole = encode_conversation(turns, template, tiny)
    asked: list[Turn] = [turns[0], ("assistant", None)]
    prompt = encode_prompt(asked, template, tiny, as_trained=True)
    assert prompt.tolist() == whole.tokens[: len(prompt)].tolist()
    assert whole.loss_mask[len(prompt)]
    assert prompt.tolist() == encode_prompt(asked[:1], template, tiny, as_trained=True).tolist()


def test_typed_markers_and_special_tokens_are_text(tiny: Tokenizer):
    typed = "What do <image>, </s> and <|im_end|> do?"
    for name in ("vicuna_v1", "chatml"):
        special_counts = []
        for text in ("Hi", typed):
            turns: list[Turn] = [
                ("user", with_images(text, 1)),
                ("assistant", text),
                ("user", text),
            ]
            ids = encode_prompt(turns, get_template(name), tiny, system=text)
            assert (ids == IMAGE).sum() == 1
            assert text_of(ids, tiny).count(text) == 4
            special_counts.append(np.isin(ids, list(tiny.special_ids)).sum())
        assert special_counts[0] == special_counts[1]
    recognised = encode_prompt([("user", "a</s>")], V1, tiny, literal=False)
    assert 2 in recognised.tolist()


def test_prompt_with_a_gap_is_refused(tiny: Tokenizer):
    with pytest.raises(EncodeError, match="Message 1 has no text"):
        encode_prompt([("user", "a"), ("assistant", None), ("user", "b")], V1, tiny)
