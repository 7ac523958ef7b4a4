import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llava_jax.text.encode import (
    IMAGE,
    Encoded,
    EncodeError,
    encode_conversation,
    encode_prompt,
    encode_record,
    expand_images,
)
from llava_jax.text.templates import (
    TEMPLATES,
    Template,
    Turn,
    get_template,
    parse_markers,
    render,
    with_images,
)
from llava_jax.text.tokenizer import Tokenizer

V1 = get_template("vicuna_v1")
Record = dict[str, Any]
GoldenTokenizer = Callable[[str, bool], Tokenizer]


def learned(encoded: Encoded, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(encoded.tokens[encoded.loss_mask].tolist(), skip_special=False)


def without_spaces(text: str) -> str:
    return re.sub(r"\s+", "", text)


# Against the records of the original


def golden_records(golden_dir: Path) -> list[Record]:
    lines = (golden_dir / "tokenization.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def setting(record: Record) -> tuple[list[Turn], Template]:
    template = get_template(record["template"])
    if record.get("mm_use_im_start_end"):
        template = replace(template, image_wrap=("<im_start>", "<im_end>"))
    turns: list[Turn] = [
        (
            message["from"],
            parse_markers(message["value"]) if record["has_image"] else message["value"],
        )
        for message in record["conversations"]
    ]
    return turns, template


def tokenizer_of(record: Record, golden_tokenizer: GoldenTokenizer) -> Tokenizer:
    return golden_tokenizer(record["tokenizer"], bool(record.get("mm_use_im_start_end")))


# The original's failures: conversations that we refuse, and those whose answers we learn.
REFUSED = ("error", "no answer", "unknown role")
LEARNED = ("mismatch", "fused turns", "mpt")


def failure_of_the_original(record: Record) -> str | None:
    """The class of the original's failure, None where its ids and labels stand."""
    turns, template = setting(record)
    checks_order = not (template.free_order or template.caption_only)
    kept = turns[1:] if checks_order and turns[0][0] == "gpt" else turns
    if "error" in record:
        return "error"
    if not any(role == "gpt" for role, _ in kept):
        return "no answer"
    if record["mismatch"]:
        return "mismatch"  # all labels masked
    if any(role not in ("human", "gpt") for role, _ in turns):
        return "unknown role"  # version 0 writes the word "unknown"
    if checks_order and not all(content for _, content in kept):
        return "fused turns"  # an empty message loses its end, the next turn follows at once
    if template.layout is get_template("mpt").layout:
        return "mpt"  # ids stand, labels are off by one a round
    return None


def compared(record: Record, encoded: Encoded) -> tuple[bool, bool]:
    """Whether the ids equal the record's, and whether the mask does.

    The original cuts texts without an image while it tokenises. An image's own label is left out:
    it becomes "ignored" when the features take its place.
    """
    length = None if record["has_image"] else record["model_max_length"]
    ids, mask = encoded.tokens[:length].tolist(), encoded.loss_mask[:length].tolist()
    pairs = zip(record["input_ids"], record["labels"], strict=True)
    return ids == record["input_ids"], mask == [
        label != -100 and token != IMAGE for token, label in pairs
    ]


@pytest.mark.golden
def test_golden_ids_and_masks(golden_dir: Path, golden_tokenizer: GoldenTokenizer):
    classes = Counter()
    for record in golden_records(golden_dir):
        turns, template = setting(record)
        tokenizer = tokenizer_of(record, golden_tokenizer)
        failure = failure_of_the_original(record)
        classes[failure or "exact"] += 1
        if failure in REFUSED:
            with pytest.raises(EncodeError):
                encode_conversation(turns, template, tokenizer)
            continue
        encoded = encode_conversation(turns, template, tokenizer, images="collapse", literal=False)
        same_ids, same_mask = compared(record, encoded)
        if failure is None:
            assert same_ids and same_mask, record["id"]
        elif failure == "mpt":
            assert same_ids, record["id"]
        elif failure == "mismatch":
            assert set(record["labels"]) == {-100}
            has_empty = not all(content for _, content in turns)
            assert same_ids or has_empty, record["id"]
    print(f"\n{dict(classes)}")
    assert classes["exact"] > 0
    assert classes.keys() <= {"exact", *REFUSED, *LEARNED}


@pytest.mark.golden
def test_where_the_original_fails_every_answer_is_learned(
    golden_dir: Path, golden_tokenizer: GoldenTokenizer
):
    """The learned text is every answer with its end: checked by decoding it."""
    ends = {"TWO": "</s>", "LLAMA_2": "</s>", "MPT": "<|im_end|>"}
    recorded = json.loads((golden_dir / "templates.json").read_text())
    checked = Counter()
    for record in golden_records(golden_dir):
        failure = failure_of_the_original(record)
        if failure not in LEARNED:
            continue
        turns, template = setting(record)
        tokenizer = tokenizer_of(record, golden_tokenizer)
        end = ends[recorded[record["template"]]["sep_style"]]
        if len(tokenizer.encode(end, special=True)) > 1:
            continue  # the end is no token here and may share one with the next turn
        encoded = encode_conversation(turns, template, tokenizer)
        if turns[0][0] == "gpt":
            turns = turns[1:]
        answers = [content for role, content in turns if role == "gpt"]
        texts = ["".join(p for p in content or "" if isinstance(p, str)) for content in answers]
        expected = without_spaces("".join(text + end for text in texts))
        assert without_spaces(learned(encoded, tokenizer)) == expected, record["id"]
        checked[failure] += 1
    assert checked.total() > 0


@pytest.mark.golden
def test_golden_by_default_options(golden_dir: Path, golden_tokenizer: GoldenTokenizer):
    """The default is the original's too, unless text looks special or a message has many images."""
    count = 0
    for record in golden_records(golden_dir):
        turns, template = setting(record)
        tokenizer = tokenizer_of(record, golden_tokenizer)
        special = set(tokenizer.special_ids)
        text = json.dumps(record["conversations"], ensure_ascii=False)
        looks_special = special & set(tokenizer.encode(text))
        many = any(message["value"].count("<image>") > 1 for message in record["conversations"])
        if failure_of_the_original(record) or looks_special or many:
            continue
        encoded = encode_conversation(turns, template, tokenizer)
        assert compared(record, encoded) == (True, True), record["id"]
        count += 1
    assert count > 0


@pytest.mark.golden
def test_golden_prompt_ids(golden_dir: Path, golden_tokenizer: GoldenTokenizer):
    count = 0
    for line in (golden_dir / "prompts.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "error" in record:
            continue
        # These prompts hold their images as given; wrapping them was the caller's business.
        template = replace(get_template(record["template"]), image_wrap=("", ""))
        turns: list[Turn] = [
            turn
            for question, answer in record["turns"]
            for turn in (("human", parse_markers(question)), ("gpt", answer))
        ]
        for key in record:
            if key.startswith("ids_"):
                tokenizer = golden_tokenizer(key.removeprefix("ids_"), False)
                assert encode_prompt(turns, template, tokenizer).tolist() == record[key]
                count += 1
    assert count > 0


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


# Images


def text_of(encoded_tokens: np.ndarray, tokenizer: Tokenizer) -> str:
    chunks = re.split(r"-200,?", ",".join(map(str, encoded_tokens.tolist())))
    ids = [[int(i) for i in chunk.split(",") if i] for chunk in chunks]
    return "<image>".join(tokenizer.decode(chunk) for chunk in ids)


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
    expanded = expand_images(encoded, 3, pad_id=tiny.pad_id)
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
    whole = expand_images(encoded, 4, pad_id=0)
    first = int(np.argmax(encoded.tokens == IMAGE))
    cut = expand_images(encoded, 4, pad_id=0, max_length=first + 2)
    assert cut.image_slots.tolist() == [-1] * first + [0, 1]
    assert cut.tokens.tolist() == whole.tokens[: first + 2].tolist()
    assert not cut.loss_mask.any()
    assert len(expand_images(encoded, 4, pad_id=0, max_length=9999).tokens) == len(whole.tokens)


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


# Records


def record(**fields: Any) -> Record:
    conversations = [
        {"from": "human", "value": "<image>\nWhat?"},
        {"from": "gpt", "value": "A bus."},
    ]
    return {"id": "000001", "conversations": conversations} | fields


def test_record_with_and_without_image(tiny: Tokenizer):
    seen = encode_record(record(image="a.jpg"), V1, tiny)
    assert (seen.tokens == IMAGE).sum() == 1
    assert encode_record(record(image=["a.jpg"]), V1, tiny).tokens.tolist() == seen.tokens.tolist()
    text = encode_record(record(), V1, tiny)
    assert (text.tokens == IMAGE).sum() == 0
    assert "USER: <image>\nWhat?" in tiny.decode(text.tokens.tolist())


def test_record_with_two_images_keeps_both_unless_collapsed(tiny: Tokenizer):
    two = record(image=["a.jpg", "b.jpg"])
    two["conversations"][0]["value"] = "<image>\n<image>\nWhat?"
    assert (encode_record(two, V1, tiny).tokens == IMAGE).sum() == 2
    two["image"] = "a.jpg"
    assert (encode_record(two, V1, tiny, images="collapse").tokens == IMAGE).sum() == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": ["a.jpg", "b.jpg"]}, "1 <image> markers for 2 images"),
        ({"conversations": [{"from": "human", "value": "Hi"}]}, "no answer to learn"),
        ({"conversations": [{"value": "Hi"}]}, r"not in LLaVA's format \(KeyError: 'from'\)"),
        ({"conversations": None}, "not in LLaVA's format"),
        ({"conversations": [{"from": "human", "value": 3}]}, "Message 0 is not text"),
        ({"conversations": ["Hi"]}, "not in LLaVA's format"),
    ],
)
def test_bad_records_are_named(fields: Record, message: str, tiny: Tokenizer):
    with pytest.raises(EncodeError, match="Sample '000001' cannot be used.*" + message):
        encode_record(record(**fields), V1, tiny)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "plain"])
def test_every_template_learns_every_answer(name: str, tiny: Tokenizer):
    turns: list[Turn] = [("human", with_images("Hi", 1)), ("gpt", "Hello.")]
    turns += [] if get_template(name).caption_only else [("human", "Who?"), ("gpt", "图中 me.")]
    encoded = encode_conversation(turns, get_template(name), tiny)
    text = learned(encoded, tiny)
    assert all(isinstance(answer, str) and answer in text for _, answer in turns[1::2])
    assert "Hi" not in text and "Who?" not in text
