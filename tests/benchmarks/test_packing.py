"""Packing on the instruction mixture's lengths: useful tokens, and what could be reached at all."""

from pathlib import Path

import numpy as np
import pytest
from instruction_mixture import Mixture, draw_mixture, mixture_parts
from packing_bound import best_fill

from llava_jax.data.plan import BatchShape, Plan, make_plan
from llava_jax.data.samples import ConversationEncoder
from llava_jax.errors import UserError
from llava_jax.text.templates import get_template
from llava_jax.text.tokenizer import Tokenizer


def drawn(data: Path, parts: int, image_tokens: int) -> Mixture:
    tokenizer = Tokenizer.from_folder(data / "tokenizer")
    encode = ConversationEncoder(get_template("vicuna_v1"), tokenizer, image_tokens, 2048)
    return draw_mixture(mixture_parts(data)[:parts], encode, 12_000, pool=150, seed=0)


@pytest.fixture(scope="module")
def mixture(shared_data: Path) -> Mixture:
    return drawn(shared_data, 12, 576)


def plan(mixture: Mixture, length: int, slots: int) -> Plan:
    shape = BatchShape(1, length, slots)
    return make_plan([mixture.survey], [None], shape, seed=0, epochs=1.0, pack_rows=True)


def test_the_mixture_is_the_published_one(mixture: Mixture) -> None:
    found = mixture.survey
    assert found.usable.all() and found.lengths.max() <= 2048
    assert np.mean(found.images == 0) == pytest.approx(40 / 664, abs=0.01)
    assert found.lengths[found.images > 0].min() > 576


@pytest.mark.parametrize(("length", "slots"), [(3072, 4), (4096, 5)])
def test_at_least_95_percent_of_the_tokens_are_useful(
    mixture: Mixture, length: int, slots: int
) -> None:
    assert plan(mixture, length, slots).fill >= 0.95


def test_at_least_95_percent_of_llava_1_0s_tokens_are_useful(shared_data: Path) -> None:
    """Its three parts: four samples of the middling length leave no room for a fifth."""
    assert plan(drawn(shared_data, 3, 256), 2048, 6).fill >= 0.95


@pytest.mark.slow
def test_rows_of_one_sample_length_come_near_what_can_be_reached(mixture: Mixture) -> None:
    """At 2048 tokens no packing of whole samples has 95%: two images leave no room for a third."""
    planned = plan(mixture, 2048, 3)
    rows = [planned.row(number) for number in range(planned.rows)]
    found = mixture.survey
    bound = best_fill(found.lengths, found.images, rows, length=2048, slots=3)
    assert bound - 0.02 < planned.fill < bound < 0.95


def test_the_bound_of_rows_that_can_be_counted_by_hand() -> None:
    """Two of 640 and one of 768 fill a row of 2048; of 768 alone only two fit in one."""
    lengths, images = np.array([640, 640, 768] * 20), np.ones(60, int)
    alone = [[i] for i in range(60)]
    full = best_fill(lengths, images, alone, length=2048, slots=3)
    assert full == pytest.approx(1.0, abs=0.005)
    same = np.full(60, 768)
    assert best_fill(same, images, alone, length=2048, slots=3) == pytest.approx(0.75, abs=0.005)
    one = best_fill(same, images, alone, length=2048, slots=1)
    assert one == pytest.approx(0.375, abs=0.005)


def test_texts_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"coco_bench.*pass --data=DIR"):
        mixture_parts(tmp_path)
