"""What two orders show, and when there is no headline."""

import pytest

from tests.evaluation.judge.items import judged, made_items


def test_orders_are_averaged_and_half_read_items_left_out() -> None:
    judgement = judged(
        made_items(3), [(8.0, 6.0), (5.0, 5.0), (9.0, 1.0)], [(6.0, 8.0), (5.0, 7.0), None]
    )
    assert judgement.marks == {"0": (7.0, 7.0), "1": (5.0, 6.0)}
    assert [item.id for item in judgement.read] == ["0", "1"]
    assert (judgement.invalid, judgement.invalid_share) == (1, pytest.approx(1 / 6))
    assert "made:judge gave 1 of 6 verdicts unreadably (16.7%" in judgement.void


def test_flips_and_the_gain_of_the_first_place() -> None:
    first_wins = judged(made_items(2), [(8.0, 6.0), (9.0, 6.0)], [(6.0, 8.0), (6.0, 8.0)])
    assert first_wins.flip_rate == 1
    assert first_wins.first_place_gain == pytest.approx((2 + 2 + 3 + 2) / 4)
    steady = judged(made_items(2), [(8.0, 6.0), (4.0, 4.0)], [(8.0, 7.0), (4.0, 5.0)])
    assert steady.flip_rate == 0.5  # even in one order, better in the other
    one_order = judged(made_items(2), [(8.0, 6.0), (4.0, 4.0)])
    assert (one_order.flip_rate, one_order.first_place_gain) == (None, None)
    assert one_order.marks["0"] == (8, 6)


def test_parts_of_a_judgement() -> None:
    items = made_items(3)
    judgement = judged(items, [(8.0, 6.0)] * 3, [(2.0, 4.0)] * 3)
    assert judgement.only("candidate first").marks["1"] == (2, 4)
    assert list(judgement.of(items[1:]).marks) == ["1", "2"]
    assert judged([]).void  # nothing is no headline
