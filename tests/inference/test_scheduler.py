"""Continuous batching: whoever comes and goes, each answer is its own; nothing compiles late."""

import numpy as np
import pytest

from llava_jax.inference import programs
from llava_jax.inference.answers import Writing
from llava_jax.inference.engine import Engine, Request, ask
from llava_jax.inference.sampling import SamplingParams
from llava_jax.inference.scheduler import Scheduler, Shapes
from tests.inference import tiny

SHAPES = Shapes(slots=3, piece=32, shortest=16)
LONG = "A question that is longer than a piece of thirty-two tokens, however one counts them. "


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny.engine()


def requests() -> list[Request]:
    drawn = SamplingParams(1.0, top_p=0.9, seed=7)
    return [
        ask(LONG + "Why?", tiny.picture(1), max_new_tokens=9),
        ask("Short", max_new_tokens=21, sampling=drawn),
        ask(LONG * 2 + "Which?", tiny.picture(2), max_new_tokens=5),
        ask("Two", tiny.picture(1), tiny.picture(3), max_new_tokens=13),
        ask(LONG + "When?", tiny.picture(1), max_new_tokens=1),
        ask("Likely?", max_new_tokens=4, sampling=SamplingParams(0.7, seed=1, logprobs=True)),
        ask(LONG + "Who?", tiny.picture(1), max_new_tokens=17, sampling=drawn),
    ]


def finished(scheduler: Scheduler, *writings: Writing) -> list[list[int]]:
    for writing in writings:
        scheduler.submit(writing)
    while scheduler.step():
        pass
    assert all(writing.done for writing in writings)
    return [[token.id for token in writing.tokens] for writing in writings]


def new(engine: Engine, shapes: Shapes = SHAPES) -> Scheduler:
    return Scheduler(engine.config, engine.compute, engine._params, shapes)


def writings(engine: Engine) -> list[Writing]:
    asked = requests()
    return [engine.writing(r, p) for r, p in zip(asked, engine.prepare(asked), strict=True)]


@pytest.fixture(scope="module")
def alone(engine: Engine) -> list[list[int]]:
    """Each answer from a scheduler that never knew another."""
    return [tokens for w in writings(engine) for tokens in finished(new(engine), w)]


def test_a_full_batch_gives_each_what_it_gets_alone(engine: Engine, alone: list[list[int]]):
    assert finished(new(engine), *writings(engine)) == alone
    assert finished(new(engine), *reversed(writings(engine))) == alone[::-1]


def test_who_comes_later_changes_nobody_s_answer(engine: Engine, alone: list[list[int]]):
    scheduler, asked = new(engine), writings(engine)
    for writing in asked:
        scheduler.submit(writing)
        for _ in range(3):
            scheduler.step()
    while scheduler.step():
        pass
    assert [[token.id for token in writing.tokens] for writing in asked] == alone


def test_with_many_pieces_a_step_all_slots_begin_at_once(engine: Engine, alone: list[list[int]]):
    scheduler, asked = new(engine), writings(engine)
    for writing in asked:
        scheduler.submit(writing)
    scheduler.step(pieces=100)
    assert all(writing.tokens for writing in asked[: SHAPES.slots])
    while scheduler.step(pieces=100):
        pass
    assert [[token.id for token in writing.tokens] for writing in asked] == alone


def test_known_prompts_are_read_once(
    engine: Engine, alone: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """And what is reused changes no bit: the same pieces come from the same programs."""
    pieces, write_row = [], programs.write_row
    monkeypatch.setattr(
        programs, "write_row", lambda *args: pieces.append(args[3]) or write_row(*args)
    )
    scheduler = new(engine)
    first, *_, last = writings(engine)
    assert finished(scheduler, first) == alone[:1]
    whole = len(pieces)
    assert whole == -(-len(first.prompt.tokens) // SHAPES.piece)
    assert finished(scheduler, last) == alone[-1:]
    assert len(pieces) == whole + 1 and pieces[-1] > 0
    other = writings(engine)[2]  # of another image: what stands before it is known
    assert finished(scheduler, other) == [alone[2]]
    image = int(np.argmax(other.prompt.image_slots == 0))
    assert pieces[whole + 1] == image // SHAPES.piece * SHAPES.piece


def test_a_known_prompt_is_copied_from_a_slot_that_is_still_used(
    engine: Engine, alone: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    copies, copy_row = [], programs.copy_row
    monkeypatch.setattr(
        programs, "copy_row", lambda *args: copies.append(args[1:]) or copy_row(*args)
    )
    first, *_, last = writings(engine)
    scheduler = new(engine)
    scheduler.submit(first)
    while not first.tokens:
        scheduler.step()
    assert finished(scheduler, last) == alone[-1:]
    assert len(copies) == 1
    assert [token.id for token in first.tokens] == alone[0]


def test_an_answer_that_nobody_waits_for_gives_its_slot_away(
    engine: Engine, alone: list[list[int]]
):
    scheduler, (first, second, third, *rest) = new(engine), writings(engine)
    for writing in (first, second, third, *rest):
        scheduler.submit(writing)
    first.cancel()  # before it has a slot
    while not second.tokens:
        scheduler.step()
    second.cancel()
    while scheduler.step():
        pass
    assert (first.ended, second.ended, first.tokens) == ("cancelled", "cancelled", [])
    assert len(second.tokens) < len(alone[1])
    assert [[token.id for token in writing.tokens] for writing in rest] == alone[3:]


def test_every_change_is_told(engine: Engine):
    told: list[int] = []
    request = requests()[1]
    (prompt,) = engine.prepare([request])
    writing = engine.writing(request, prompt, lambda w: told.append(len(w.tokens)))
    finished(new(engine), writing)
    assert told == list(range(1, len(writing.tokens) + 1))


def test_log_probabilities_come_where_they_are_wanted(engine: Engine):
    asked = writings(engine)
    finished(new(engine), *asked)
    for token in asked[5].tokens:
        assert token.logprob < 0 and len(token.others) == 20
        assert token.others[0][1] >= token.logprob
    assert not any(token.others for token in asked[0].tokens)


def compiled_programs() -> list[int]:
    """How many programs of each kind there are."""
    jitted = ("see", "prefill", "extend", "write_row", "write", "copy_row", "admit", "decode")
    return [getattr(programs, name)._cache_size() for name in jitted]


def test_nothing_is_compiled_after_the_warm_up():
    engine = tiny.engine()
    shapes = Shapes(slots=5, piece=64, shortest=16)
    scheduler = new(engine, shapes)
    seen: list[tuple[int, int]] = []
    scheduler.warm_up(lambda *done: seen.append(done))
    engine.warm_up(lambda *done: seen.append(done))
    before = compiled_programs()
    answers = finished(scheduler, *writings(engine))
    assert compiled_programs() == before
    assert answers == finished(
        new(engine, Shapes(slots=5, piece=64, shortest=16)), *writings(engine)
    )
    assert seen[0] == (0, 5) and (5, 5) in seen and seen[-1] == (3, 3)


def test_shapes_are_few():
    assert SHAPES.lengths == (16, 32)
    assert Shapes().lengths == (32, 64, 96, 128, 160, 192, 224, 256)
    with pytest.raises(ValueError, match="two slots"):
        Shapes(slots=1)


def test_rows_that_are_done_spoil_no_prompt_that_is_being_read(
    engine: Engine, alone: list[list[int]]
):
    """A short answer ended in the slot; its old length lies where the new prompt now stands."""
    scheduler = new(engine, Shapes(slots=2, piece=32, shortest=16))
    asked = writings(engine)
    long, short, after = asked[1], asked[5], asked[2]
    scheduler.submit(long)
    scheduler.submit(short)
    while not short.done:
        scheduler.step()
    assert not long.done
    assert finished(scheduler, after) == [alone[2]]
    assert np.array_equal([token.id for token in long.tokens], alone[1])


def test_what_needs_more_room_than_there_is_is_refused(engine: Engine):
    asked = [ask("Hm?", max_new_tokens=count) for count in (5, 6)]
    prompts = engine.prepare(asked)
    fits, longer = (engine.writing(*pair) for pair in zip(asked, prompts, strict=True))
    room = len(prompts[0].tokens) + 5
    scheduler = new(engine, Shapes(slots=2, piece=32, shortest=16, room=room))
    assert finished(scheduler, fits) == finished(new(engine), engine.writing(asked[0], prompts[0]))
    with pytest.raises(ValueError, match="do not fit"):
        scheduler.submit(longer)
