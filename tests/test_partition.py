"""Parameters by their paths."""

import jax
import numpy as np
import pytest

from llava_jax import partition
from llava_jax.errors import UserError

PARAMS = {
    "vision": {"class_token": np.zeros(2), "blocks_0": {"norm1": {"scale": np.ones(2)}}},
    "projector": {"dense_0": {"kernel": np.ones((2, 3)), "bias": np.zeros(3)}},
    "language": {"embed": {"embedding": np.ones((5, 3))}, "norm": {"scale": np.ones(3)}},
}


def test_a_path_is_the_keys_joined():
    leaves = partition.flatten(PARAMS)
    assert leaves["projector/dense_0/kernel"] is PARAMS["projector"]["dense_0"]["kernel"]
    assert len(leaves) == 6
    assert partition.unflatten(leaves) == PARAMS


@pytest.mark.parametrize(
    "trainable",
    [
        (),
        (".*",),
        ("projector/.*",),
        ("language/.*", "projector/.*"),
        (".*/(scale|bias)", "vision/class_token"),
    ],
)
def test_merge_is_the_inverse_of_split(trainable: tuple[str, ...]):
    chosen, frozen = partition.split(PARAMS, trainable)
    paths, rest = set(partition.flatten(chosen)), set(partition.flatten(frozen))
    assert not paths & rest
    assert all(partition.matches(trainable, path) for path in paths)
    assert not any(partition.matches(trainable, path) for path in rest)
    whole = partition.merge(chosen, frozen)
    assert jax.tree.structure(whole) == jax.tree.structure(PARAMS)
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (whole, PARAMS)), strict=True))


def test_a_pattern_must_match_the_whole_path():
    assert not partition.matches(["projector"], "projector/dense_0/kernel")
    assert not partition.matches(["dense_0/.*"], "projector/dense_0/kernel")
    assert partition.matches(["projector/.*"], "projector/dense_0/kernel")


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match=r"no parameter matches proj/\.\*; parameters begin with"):
        partition.split(PARAMS, ["language/.*", "proj/.*"])


def test_a_pattern_that_is_none_is_an_error():
    with pytest.raises(UserError, match=r"'\(' is no regular expression: missing \)"):
        partition.split(PARAMS, ["language/.*", "("])


def test_the_first_pattern_of_a_table_counts():
    table = [("projector/.*", 1), (".*/scale", 2), (".*", 3)]
    found = partition.lookup(table, partition.flatten(PARAMS))
    assert found["projector/dense_0/bias"] == 1
    assert found["language/norm/scale"] == 2
    assert found["vision/class_token"] == 3
    assert found.keys() == partition.flatten(PARAMS).keys()


def test_what_no_pattern_covers_is_named():
    with pytest.raises(UserError, match="language/embed/embedding, language/norm/scale;"):
        partition.lookup([("(vision|projector)/.*", 0)], partition.flatten(PARAMS))


def test_many_uncovered_paths_are_counted():
    with pytest.raises(UserError, match="layer_7 and 2 more;"):
        partition.lookup([], [f"layer_{i}" for i in range(10)])
