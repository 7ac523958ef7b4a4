from llava_jax.remote.answer import Answer
from llava_jax.remote.progress import Tally


def test_what_is_left_goes_as_what_was_asked() -> None:
    tally = Tally(total=100, start=0.0)
    for _ in range(20):
        tally.note(Answer("k", usd=5.0, kept=True))  # paid earlier, and took no time
    for number in range(20):
        tally.note(Answer("k", usd=0.1, problem="" if number else "timeout: late"))
    line = tally.line(spent=102.0, running=7, now=10.0)
    assert line == "1 set aside · 2.0/s, 7 at once · $102.00 of about $108.00 · 0:00:30 left"


def test_nothing_is_said_that_nobody_knows() -> None:
    tally = Tally(total=None, start=0.0)
    tally.note(Answer("k"))
    assert tally.line(spent=0.0, running=1, now=2.0) == "0.5/s, 1 at once"
    tally = Tally(total=5, start=0.0)
    assert tally.line(spent=0.0, running=0, now=0.0) == "0.0/s, 0 at once"
