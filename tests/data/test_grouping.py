"""Grouping: the original's order, given the random permutations it drew."""

import json

import numpy as np
import pytest

from llava_jax.data.grouping import group_by_length, group_by_modality_and_length, split_evenly


@pytest.mark.golden
def test_equals_the_original(golden_dir):
    records = json.loads((golden_dir / "sampler_schedule.json").read_text())["sampler"]
    groupings = {"modality": group_by_modality_and_length, "length": group_by_length}
    compared = 0
    for record in records:
        if record["kind"] in groupings and record["indices"] is not None:
            drawn = iter(record["permutations"])
            order = groupings[record["kind"]](
                np.array(record["lengths"]),
                record["batch_size"],
                record["world_size"],
                lambda count, drawn=drawn: next(drawn)[:count],
            )
            assert order.tolist() == record["indices"]
            assert next(drawn, None) is None
            compared += 1
    assert compared >= 10


@pytest.mark.golden
def test_splits_as_the_original(golden_dir):
    records = json.loads((golden_dir / "sampler_schedule.json").read_text())["sampler"]
    splits = [record for record in records if record["kind"] == "split_to_even_chunks"]
    for record in splits:
        lengths = np.array(record["lengths"])
        parts = split_evenly(np.arange(len(lengths)), lengths, record["num_chunks"])
        assert [part.tolist() for part in parts] == record["chunks"]
    assert splits


def test_batches_hold_one_modality():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 100, 203) * random.choice([1, -1], 203)
    order = group_by_modality_and_length(lengths, 8, 1, random.permutation)
    assert sorted(order) == list(range(203))
    batches = [order[i : i + 8] for i in range(0, 203, 8)]
    mixed = [batch for batch in batches if len(set(np.sign(lengths[batch]))) > 1]
    assert len(mixed) <= 2 and all(batch[0] in np.concatenate(batches[-2:]) for batch in mixed)
