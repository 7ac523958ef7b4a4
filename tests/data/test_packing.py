"""Packing: nothing lost, nothing over full, little wasted; and rows as arrays."""

import json
from itertools import count, islice

import numpy as np
import pytest

from llava_jax.data.packing import make_row, pack
from llava_jax.data.samples import Sample
from llava_jax.text.tokenizer import Tokenizer


def random_needs(number: int, length: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    tokens = random.integers(1, length + 1, number) // random.integers(1, 9, number) + 1
    return np.stack([tokens, random.integers(0, 4, number), random.integers(0, tokens)], axis=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("room", [(101, 3, 101), (101, 100, 101), (101, 4, 100), (150, 5, 120)])
def test_every_record_once_and_no_row_over_full(seed, room):
    needs = random_needs(300, 100, seed)
    rows = list(pack(range(300), needs, room, window=40))
    assert sorted(record for row in rows for record in row) == list(range(300))
    assert all((needs[row].sum(0) <= room).all() for row in rows)


def test_the_longest_waiting_record_comes_first():
    needs = random_needs(300, 100, 0)
    waiting = set(range(300))
    for row in pack(range(300), needs, (101, 6, 101), window=40):
        assert row[0] == min(waiting)
        waiting -= set(row)


def test_rows_depend_only_on_what_came_before():
    needs = random_needs(300, 100, 1)
    endless = pack((number % 300 for number in count()), needs, (101, 6, 101), window=40)
    finite = list(pack(range(300), needs, (101, 6, 101), window=40))
    assert list(islice(endless, 60)) == finite[:60]


def test_a_row_is_finished_with_what_fits_best():
    needs = np.array([[50, 0, 0], [49, 0, 0], [30, 0, 0], [21, 0, 0], [45, 0, 0]])
    assert sorted(next(pack(range(5), needs, (101, 0, 101)))) == [0, 2, 3]
    no_image_left = np.array([[50, 1, 0], [51, 1, 0], [30, 0, 0], [20, 1, 0], [10, 0, 0]])
    assert sorted(next(pack(range(5), no_image_left, (101, 1, 101)))) == [0, 2, 4]


def test_rows_are_as_mixed_as_the_order():
    """Two sources of different lengths: every stretch of a run holds both as the order does."""
    random = np.random.default_rng(0)
    source = (random.random(6000) < 0.25).astype(int)
    lengths = np.where(source, random.integers(300, 900, 6000), random.integers(100, 400, 6000))
    needs = np.stack([lengths, np.ones(6000, int), np.zeros(6000, int)], axis=1)
    rows = list(pack(range(6000), needs, (1024, 8, 1024)))
    for start in range(0, len(rows) - 200, 200):
        held = [record for row in rows[start : start + 200] for record in row]
        assert np.mean(source[held]) == pytest.approx(0.25, abs=0.06)


def fill(lengths: np.ndarray, has_image: np.ndarray, length: int, slots: int) -> float:
    needs = np.stack([lengths, has_image, np.zeros_like(lengths)], axis=1)
    rows = list(pack(range(len(lengths)), needs, (length, slots, length)))
    return lengths.sum() / (len(rows) * length)


def test_fill_with_lengths_of_real_instructions(shared_data):
    """Lengths of the 90 published instruction samples, one image of 256 tokens (LLaVA-1.0) each."""
    tokenizer = Tokenizer.from_folder(shared_data / "tokenizer")
    lines = (shared_data / "coco_bench" / "coco2014_val_gpt4_qa_30x3.jsonl").read_text().split("\n")
    pairs = [json.loads(line) for line in lines if line]
    words = [len(tokenizer.encode(pair["instruction"] + pair["output"])) + 42 for pair in pairs]
    lengths = np.random.default_rng(0).choice(words, 1500) + 256
    one_a_row = lengths.mean() / lengths.max()
    assert one_a_row < 0.8
    assert fill(lengths, np.ones_like(lengths), 2048, 8) > 0.98


@pytest.mark.parametrize(("image_tokens", "length"), [(16, 1024), (256, 2048), (576, 3072)])
def test_fill_of_a_wide_mixture(image_tokens, length):
    """Log-normal texts, one in sixteen without an image: the shape of LLaVA-1.5's mixture."""
    random = np.random.default_rng(0)
    has_image = (random.random(1500) > 0.06).astype(int)
    texts = np.where(has_image, random.lognormal(5.2, 0.7, 1500), random.lognormal(6.4, 1.0, 1500))
    lengths = np.clip(texts.astype(int), 45, length - image_tokens) + has_image * image_tokens
    assert fill(lengths, has_image, length, length // image_tokens) > 0.96


def sample(tokens: list[int], learned: list[int], slots: list[int]) -> Sample:
    return Sample(
        np.array(tokens, np.int32),
        np.array(learned, bool),
        np.array(slots, np.int32),
        images=len({slot // 2 for slot in slots if slot >= 0}),
    )


def test_a_row_of_three_samples():
    samples = [
        sample([5, 0, 0, 6], [1, 0, 0, 1], [-1, 0, 1, -1]),
        sample([7, 8], [0, 1], [-1, -1]),
        sample([0, 0, 0, 0, 9], [0, 0, 0, 0, 1], [0, 1, 2, 3, -1]),
    ]
    row = make_row(samples, [1.0, 0.5, 1.0], length=13, image_tokens=2, pad_id=3)
    assert {name: array.tolist() for name, array in row.items()} == {
        "tokens": [5, 0, 0, 6, 7, 8, 0, 0, 0, 0, 9, 3, 3],
        "positions": [0, 1, 2, 3, 0, 1, 0, 1, 2, 3, 4, 0, 0],
        "segments": [1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 0, 0],
        "loss_weights": [0, 0, 0, 1, 0, 0.5, 0, 0, 0, 0, 1, 0, 0],
        "image_slots": [-1, 0, 1, -1, -1, -1, 2, 3, 4, 5, -1, -1, -1],
    }
    assert {array.dtype.name for array in row.values()} == {"int32", "float32"}


def test_images_that_were_cut_off_keep_their_slots():
    cut = Sample(np.array([0, 0], np.int32), np.array([False] * 2), np.array([0, 1], np.int32), 2)
    row = make_row([cut, cut], [1.0, 1.0], length=4, image_tokens=2, pad_id=0)
    assert row["image_slots"].tolist() == [0, 1, 4, 5]


def test_an_empty_row_is_padding():
    row = make_row([], [], length=3, image_tokens=2, pad_id=9)
    assert row["tokens"].tolist() == [9, 9, 9]
    assert not row["segments"].any() and not row["loss_weights"].any()
