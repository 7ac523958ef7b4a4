"""Ids and masks beside the recorded ones of the original."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llava_jax.text.encode import (
    IMAGE,
    Encoded,
    EncodeError,
    encode_conversation,
    encode_prompt,
)
from llava_jax.text.templates import Template, Turn, get_template, parse_markers
from llava_jax.text.tokenizer import Tokenizer
from tests.text.decoded import learned

Record = dict[str, Any]
GoldenTokenizer = Callable[[str, bool], Tokenizer]


def without_spaces(text: str) -> str:
    return re.sub(r"\s+", "", text)


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
