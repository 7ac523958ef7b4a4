import math

from llava_jax.remote.budget import Budget


def test_money_that_may_come_back_is_waited_for() -> None:
    budget = Budget(max_usd=1.0)
    assert budget.reserve(0.6)
    assert not budget.reserve(0.6) and not budget.exhausted
    budget.settle(0.6, spent=0.1)
    assert budget.reserve(0.9)
    budget.settle(0.9, spent=0.9)
    assert not budget.reserve(0.1) and budget.exhausted
    assert not budget.reserve(0.0)  # nothing more is sent
    assert budget.spent == 1.0


def test_what_was_spent_before_counts() -> None:
    budget = Budget(max_usd=1.0, spent=0.9)
    assert not budget.reserve(0.2) and budget.exhausted


def test_thousands_of_reservations_leave_no_remainder() -> None:
    budget = Budget(max_usd=0.8)
    for _ in range(1000):
        assert budget.reserve(0.1) and budget.reserve(0.7)
        budget.settle(0.1, 0.0)
        budget.settle(0.7, 0.0)
        assert budget.reserve(0.8)
        budget.settle(0.8, 0.0)


def test_no_cap() -> None:
    budget = Budget()
    assert budget.reserve(1e9) and math.isinf(budget.max_usd)
