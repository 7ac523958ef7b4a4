"""Chips that share each product give the answers of one, and none compiles late."""

import json

import pytest

from llava_jax.errors import UserError
from llava_jax.inference.placement import tensor_mesh
from tests.eight_devices import run_on_eight_devices


@pytest.mark.slow
def test_two_chips_answer_as_one_and_hold_half_each():
    for one, two in json.loads(run_on_eight_devices("tests.inference.answers_on_meshes")):
        assert two["answers"] == one["answers"] and one["answers"][0]
        for figures, share in ((one, 1), (two, 0.5)):
            assert figures["share_of_cache"] == figures["share_of_kernel"] == share
            assert not any(figures["compiled_late"])


def test_more_chips_than_there_are_are_refused():
    assert tensor_mesh(1) is None
    with pytest.raises(UserError, match="--tensor=99"):
        tensor_mesh(99)
