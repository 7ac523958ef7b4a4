import pytest

from llava_jax.instruct.scene import Box


def test_box_measures() -> None:
    box = Box(0.1, 0.2, 0.5, 0.4)
    assert box.center == pytest.approx((0.3, 0.3))
    assert box.area == pytest.approx(0.08)
    assert box.span(0) == (0.1, 0.5)
    assert box.span(1) == (0.2, 0.4)


@pytest.mark.parametrize(
    "corners",
    [(0.5, 0.0, 0.5, 1.0), (0.6, 0.0, 0.5, 1.0), (-0.1, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 1.01)],
)
def test_box_must_lie_in_the_unit_square(corners: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="unit square"):
        Box(*corners)
