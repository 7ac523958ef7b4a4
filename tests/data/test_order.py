"""The order of records: every one once an epoch, in shares, the same for the same seed."""

from collections import Counter
from itertools import islice

import numpy as np

from llava_jax.data.order import group_epochs, shuffled_mixture


def test_each_epoch_of_a_natural_mixture_holds_every_record_once():
    sizes = [100, 37, 3]
    order = shuffled_mixture(sizes, None, seed=5)
    epochs = [list(islice(order, 140)) for _ in range(4)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(140))
    assert epochs[0] != epochs[1]
    assert list(islice(shuffled_mixture(sizes, None, seed=5), 140)) == epochs[0]
    assert list(islice(shuffled_mixture(sizes, None, seed=6), 140)) != epochs[0]


def test_weights_are_shares_and_sources_start_over():
    order = list(islice(shuffled_mixture([1000, 10], [3.0, 1.0], seed=0), 400))
    from_second = [record for record in order if record >= 1000]
    assert len(from_second) == 100
    assert set(Counter(from_second).values()) == {10}
    assert len(set(order)) == 310
    shares = [sum(record >= 1000 for record in order[i : i + 40]) for i in range(0, 400, 40)]
    assert set(shares) == {10}


def test_sources_are_shuffled_each_in_its_own_way():
    order = list(islice(shuffled_mixture([50, 50], [1.0, 1.0], seed=0), 100))
    first = [record for record in order if record < 50]
    second = [record - 50 for record in order if record >= 50]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != sorted(first)


def test_grouped_epochs_are_epochs_still():
    lengths = np.where(np.arange(60) % 3, 1, -1) * (1 + np.arange(60))
    order = group_epochs(shuffled_mixture([60], None, seed=0), 60, lengths, batch=4, seed=0)
    epochs = [list(islice(order, 60)) for _ in range(2)]
    assert all(sorted(epoch) == list(range(60)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    for batch in np.array(epochs[0]).reshape(-1, 4)[:-2]:  # the last of each kind are mixed
        assert len(set(np.sign(lengths[batch]))) == 1
        assert (np.diff(np.abs(lengths[batch])) <= 0).all()
