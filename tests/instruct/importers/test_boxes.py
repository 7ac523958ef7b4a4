from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_jax.instruct.importers.boxes import corner_box, pixel_box
from llava_jax.instruct.importers.reading import Flaw
from llava_jax.instruct.scene import Box


def test_what_is_beyond_the_image_is_cut_off() -> None:
    assert pixel_box([-10, 60, 30, 60], 200, 100) == Box(0.0, 0.6, 0.1, 1.0)
    assert corner_box([-0.5, 0.25, 0.5, 1.25]) == Box(0.0, 0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    ("values", "flaw"),
    [
        ([0, 0, 1], "not four numbers"),
        ([0, 0, True, 1], "not a number"),
        ([0, 0, float("inf"), 1], "not finite"),
        ([5, 5, 0, 5], "empty box"),
        ([100, 0, 5, 5], "outside the image"),
        ([-5, 0, 5, 5], "outside the image"),
    ],
)
def test_what_is_no_box_is_a_flaw(values: list, flaw: str) -> None:
    with pytest.raises(Flaw, match=flaw):
        pixel_box(values, 100, 100)


@given(st.lists(st.floats() | st.integers(), min_size=4, max_size=4), st.integers(1, 10_000))
def test_any_numbers_are_a_box_or_a_flaw(values: list, side: int) -> None:
    for read in (lambda: pixel_box(values, side, side), lambda: corner_box(values)):
        with suppress(Flaw):
            assert 0 <= read().area <= 1
