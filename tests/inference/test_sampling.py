"""Choosing tokens: against transformers' own filters, and by counting what is drawn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from llava_jax.errors import UserError
from llava_jax.inference.sampling import RowSampling, SamplingParams, allowed, sample, stack

SAMPLE, ALLOWED = jax.jit(lambda *args: sample(*args).token), jax.jit(allowed)
LOGITS = np.random.default_rng(0).normal(0, 3, (6, 500)).astype(np.float32)
MIXED = [
    SamplingParams(),
    SamplingParams(0.7, seed=3),
    SamplingParams(1.0, top_k=5, seed=3),
    SamplingParams(1.5, top_p=0.8, seed=2**40 + 9),
    SamplingParams(1.0, top_k=40, top_p=0.5, seed=7),
    SamplingParams(2.0, top_k=1, seed=7),
]


def steps(rows: int, step: int = 0) -> jax.Array:
    return jnp.full(rows, step, jnp.int32)


def repeated(params: SamplingParams, count: int) -> RowSampling:
    """The same parameters under `count` seeds."""
    return stack([params] * count)._replace(seed=jnp.arange(count, dtype=jnp.uint32))


def draws(logits: np.ndarray, params: SamplingParams, count: int) -> np.ndarray:
    rows = jnp.broadcast_to(jnp.asarray(logits), (count, len(logits)))
    return np.asarray(SAMPLE(rows, repeated(params, count), steps(count)))


@pytest.mark.parametrize("params", [MIXED[0], SamplingParams(0.0, top_k=3, top_p=0.1, seed=5)])
def test_temperature_zero_takes_the_likeliest(params: SamplingParams):
    tokens = SAMPLE(jnp.asarray(LOGITS), stack([params] * 6), steps(6))
    np.testing.assert_array_equal(tokens, LOGITS.argmax(-1))


@pytest.mark.parametrize("top_k", [1, 7, 499, 500, 10_000])
@pytest.mark.parametrize("top_p", [0.02, 0.5, 0.95, 1.0])
def test_allowed_tokens_are_those_of_transformers(top_k: int, top_p: float):
    ours = ALLOWED(jnp.asarray(LOGITS), stack([SamplingParams(1.0, top_k, top_p)] * 6))
    scores = TopKLogitsWarper(top_k)(None, torch.from_numpy(LOGITS))
    theirs = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
    np.testing.assert_array_equal(ours, torch.isfinite(theirs).numpy())


def test_each_row_has_its_own_filters():
    ours = np.asarray(ALLOWED(jnp.asarray(LOGITS), stack(MIXED)))
    for row, params in enumerate(MIXED):
        alone = ALLOWED(jnp.asarray(LOGITS[row : row + 1]), stack([params]))
        np.testing.assert_array_equal(ours[row], alone[0])
    assert ours[2].sum() == 5 and ours[5].sum() == 1 and ours[1].all()


def test_equal_logits_stay_together_and_zero_has_no_sign():
    logits = jnp.array([[1.0, 2.0, 2.0, 2.0, -1.0], [-0.0, 0.0, -1.0, -2.0, -3.0]])
    kept = ALLOWED(logits, stack([SamplingParams(1.0, top_k=2), SamplingParams(1.0, top_k=1)]))
    np.testing.assert_array_equal(kept, [[0, 1, 1, 1, 0], [1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    "params", [SamplingParams(1.0), SamplingParams(0.5), SamplingParams(2.0, top_k=4, top_p=0.9)]
)
def test_frequencies_are_the_probabilities(params: SamplingParams):
    logits, count = np.array([2.0, 1.0, 0.5, 0.0, -0.5, -1.0], np.float32), 20_000
    scores = TemperatureLogitsWarper(params.temperature)(None, torch.from_numpy(logits)[None])
    if params.top_k:
        scores = TopPLogitsWarper(params.top_p)(None, TopKLogitsWarper(params.top_k)(None, scores))
    expected = torch.softmax(scores, -1)[0].numpy()
    seen = np.bincount(draws(logits, params, count), minlength=6) / count
    assert (seen[expected == 0] == 0).all()
    # Four standard errors of each frequency.
    np.testing.assert_array_less(abs(seen - expected), 4 * np.sqrt(0.25 / count))


def test_a_row_draws_the_same_alone_and_in_any_batch():
    logits, together = jnp.asarray(LOGITS), stack(MIXED)
    tokens = np.asarray(SAMPLE(logits, together, steps(6, 4)))
    turned = jax.tree.map(lambda a: a[::-1], together)
    np.testing.assert_array_equal(SAMPLE(logits[::-1], turned, steps(6, 4)), tokens[::-1])
    for row, params in enumerate(MIXED):
        assert SAMPLE(logits[row : row + 1], stack([params]), steps(1, 4))[0] == tokens[row]


def test_seed_and_step_decide():
    logits = jnp.zeros((64, 1000))
    draw = partial(SAMPLE, logits, repeated(SamplingParams(1.0), 64))
    first, again, later = np.asarray(draw(steps(64))), draw(steps(64)), draw(steps(64, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != np.asarray(later)).mean() > 0.9
    assert len(set(first.tolist())) > 50


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0},
     {"top_p": 1.1}],
)  # fmt: skip
def test_impossible_parameters_are_refused(wrong: dict):
    with pytest.raises(UserError, match=next(iter(wrong))):
        SamplingParams(**wrong)


def test_log_probabilities_are_those_of_the_whole_distribution():
    ways = [SamplingParams(0.5, top_k=2, logprobs=True), SamplingParams(), *MIXED[:1]]
    logits = jnp.asarray(LOGITS[:3])
    drawn = jax.jit(sample)(logits, stack(ways), steps(3))
    expected = jax.nn.log_softmax(logits, axis=-1)
    np.testing.assert_allclose(drawn.logprob[0], expected[0, drawn.token[0]], rtol=1e-6)
    order = np.argsort(-expected[0], kind="stable")[: len(drawn.others[0])]
    np.testing.assert_array_equal(drawn.others[0], order)
    np.testing.assert_allclose(drawn.other_logprobs[0], expected[0, order], rtol=1e-6)
    assert not drawn.logprob[1:].any() and not drawn.other_logprobs[1:].any()
