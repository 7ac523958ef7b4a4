"""The length statistics of LLaVA-1.5's instruction mixture, from real texts at hand.

mix-665K itself is not at hand. This builds conversations of each of its twelve parts from real
questions, answers, captions and boxes of the same kind, encodes them as training does, and draws
from the parts in their published sizes (table 7 of arXiv 2310.03744; LLaVA's 158K by their three
kinds, arXiv 2304.08485). How many questions share an image follows the published data too: each
part says its own below. What it cannot know: the mixture's exact texts, so the figures are those of
a mixture of the same make, not of mix-665K.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from llava_jax.data.records import Record, StoredImage
from llava_jax.data.samples import Encode
from llava_jax.data.survey import Survey
from llava_jax.errors import UserError

Pair = tuple[str, str]  # question, answer
Draw = np.random.Generator

_SHORT = "\nAnswer the question using a single word or phrase."
_LETTER = "\nAnswer with the option's letter from the given choices directly."
_IMAGE = (StoredImage("image", b""),)  # never read: lengths are those of the text


@dataclass(frozen=True)
class Part:
    """One part of the mixture.

    thousands: its published records. turns: questions a conversation, drawn evenly from low to
    high. pairs: real ones to draw from. ending: what the first question ends with. has_image: or
    text alone.
    """

    name: str
    thousands: int
    turns: tuple[int, int]
    pairs: Sequence[Pair]
    ending: str = ""
    has_image: bool = True

    def record(self, draw: Draw) -> Record:
        """A conversation of drawn pairs."""
        count = min(int(draw.integers(self.turns[0], self.turns[1] + 1)), len(self.pairs))
        turns = []
        for i, place in enumerate(draw.choice(len(self.pairs), count, replace=False)):
            question, answer = self.pairs[place]
            if i == 0:
                question = ("<image>\n" if self.has_image else "") + question + self.ending
            turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        return Record(self.name, turns, _IMAGE if self.has_image else ())


def mixture_parts(data: Path) -> list[Part]:
    """The twelve parts, from a folder with coco_bench, scienceqa, pope, lcs_2k, llava_bench_wild
    and datagen_prompts. Raises UserError where one of them is missing.
    """
    talk, detail, complex_ = _written_by_gpt4(data)
    yes_no, boxes = _pope(data), _boxes(data)
    choice, explained = _science(data)
    return [
        # LLaVA's own 158K; both of its published examples of conversations hold four questions
        Part("llava_conversation", 58, (3, 5), talk),
        Part("llava_detail", 23, (1, 1), detail),
        Part("llava_complex", 77, (1, 1), complex_),
        # text alone, cut at 2048 tokens as there
        Part("sharegpt", 40, (1, 8), explained, has_image=False),
        # questions an image: 443,757 / 82,783 in VQAv2, 943,000 / 72,140 in GQA, one in OKVQA,
        # five in OCR-VQA; all of an image are one conversation
        Part("vqav2", 83, (3, 8), yes_no, _SHORT),
        Part("gqa", 72, (8, 18), yes_no, _SHORT),
        Part("okvqa", 9, (1, 1), yes_no, _SHORT),
        Part("ocrvqa", 80, (4, 6), yes_no, _SHORT),
        Part("aokvqa", 66, (1, 1), choice, _LETTER),
        Part("textcaps", 22, (1, 1), _captions(data)),
        # fewer than ten boxes a conversation in RefCOCO, ten in Visual Genome
        Part("refcoco", 48, (1, 9), boxes),
        Part("visual_genome", 86, (10, 10), boxes),
    ]


@dataclass(frozen=True)
class Mixture:
    """Drawn records. words: of each record's text, which the original groups them by."""

    survey: Survey
    words: Int[np.ndarray, " n"]


def draw_mixture(
    parts: Sequence[Part], encode: Encode, records: int, *, pool: int, seed: int
) -> Mixture:
    """Lengths of `records` records in the mixture's proportions.

    Each part's lengths are drawn from `pool` of its conversations, which are encoded for it.
    """
    draw = np.random.default_rng(seed)
    sizes = np.array([part.thousands for part in parts])
    owners = draw.choice(len(parts), records, p=sizes / sizes.sum())
    numbers = np.zeros((4, records), np.int32)
    for owner, part in enumerate(parts):
        measured = np.array([_measure(part.record(draw), encode) for _ in range(pool)], np.int32)
        mine = np.flatnonzero(owners == owner)
        numbers[:, mine] = measured[draw.integers(0, pool, len(mine))].T
    lengths, supervised, images, words = numbers
    return Mixture(Survey(lengths, supervised, images, images, {}), words)


def _measure(record: Record, encode: Encode) -> tuple[int, int, int, int]:
    """Tokens, learned tokens, images and words of a record."""
    sample = encode(record)
    words = sum(len(turn["value"].split()) for turn in record.conversations)
    return len(sample.tokens), int(sample.loss_mask[1:].sum()), sample.images, words


def _written_by_gpt4(data: Path) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Questions and answers of the three kinds: conversation, detail, complex reasoning."""
    pairs: dict[str, list[Pair]] = {"conv": [], "detail": [], "complex": []}
    for line in _lines(data / "coco_bench" / "coco2014_val_gpt4_qa_30x3.jsonl"):
        pairs[line["type"]].append((line["instruction"], line["output"]))
    for folder, questions, answers in (
        ("coco_bench", "qa90_questions.jsonl", "qa90_gpt4_answer.jsonl"),
        ("llava_bench_wild", "questions.jsonl", "answers_gpt4.jsonl"),
    ):
        both = zip(_lines(data / folder / questions), _lines(data / folder / answers), strict=True)
        for question, answer in both:
            pairs[question["category"]].append((question["text"], answer["text"]))
    for kind, folder in (("conv", "conversation"), ("complex", "complex_reasoning")):
        for path in sorted((data / "datagen_prompts" / folder).glob("*_conv.txt")):
            blocks = path.read_text().split("===")  # "Question:", a line end and the text
            texts = [block.strip().partition("\n")[2] for block in blocks]
            pairs[kind] += zip(texts[0::2], texts[1::2], strict=True)
    return pairs["conv"], pairs["detail"], pairs["complex"]


def _science(data: Path) -> tuple[list[Pair], list[Pair]]:
    """Questions about an image with their letter; questions in text with an explained answer."""
    folder = data / "scienceqa"
    explained = _json(folder / "gpt3_final_test_QCM-ALE_2_seed_3.json")["outputs"]
    choice, texts = [], []
    for record in _json(folder / "llava_test_CQM-A.json"):
        question, answer = (turn["value"] for turn in record["conversations"])
        if "image" not in record:
            texts.append((question, explained[record["id"]]))
        elif "Context:" not in question:
            choice.append((question.removeprefix("<image>\n"), answer))
    return choice, texts


def _pope(data: Path) -> list[Pair]:
    lines = _lines(data / "pope" / "coco_pope_random.json")
    return [(line["text"], line["label"].capitalize()) for line in lines]


def _captions(data: Path) -> list[Pair]:
    records = _json(data / "lcs_2k" / "chat.json")
    turns = [[turn["value"] for turn in record["conversations"]] for record in records]
    return [(question.replace("<image>", "").strip(), answer) for question, answer in turns]


def _boxes(data: Path) -> list[Pair]:
    """Where something named or described is, and what is there: both ways of asking."""
    pairs = []
    for line in _lines(data / "coco_bench" / "caps_boxes_coco2014_val_80.jsonl"):
        for i, thing in enumerate(line["instances"]):
            place = "[" + ", ".join(f"{x:.2f}" for x in thing["bbox"]) + "]"
            for words in (thing["category"], line["captions"][i % len(line["captions"])]):
                where = (
                    f"the bounding box coordinate of the region this sentence describes: {words}."
                )
                pairs.append((f"Please provide {where}", place))
                what = f"Please provide a short description for this region: {place}."
                pairs.append((what, words))
    return pairs


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).splitlines() if line.strip()]


def _json(path: Path) -> Any:
    return json.loads(_text(path))


def _text(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"the mixture needs {path}, which is not there: pass --data=DIR")
    return path.read_text()
