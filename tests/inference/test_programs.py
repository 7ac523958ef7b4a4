"""Prefill, extend and decode: against transformers, and batches against single rows."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from llava_jax.inference import programs
from llava_jax.models import cache
from llava_jax.models.compute import Compute
from llava_jax.models.language import make_cache
from llava_jax.models.llava import Llava
from llava_jax.weights.huggingface import load_llava
from tests.models.batches import IMAGE, make_batch
from tests.models.from_torch import randomized
from tests.weights import tiny

NEW = 12
IMAGE_TOKEN = 95  # in transformers
PROMPTS = [
    [1, 5, IMAGE, 9, 11, 12, 13, 14, 15],
    [1, 20, 21],
    [1, IMAGE, 30, IMAGE, 31],
    [1, 40, 41, 42, 43, 44, 45, IMAGE],
]
PIXELS = np.random.default_rng(0).normal(size=(4, 28, 28, 3)).astype(np.float32)


class Pair:
    """A torch LLaVA and ours with its weights."""

    def __init__(self, folder: Path, **options: Any):
        self.theirs = randomized(tiny.llava(), seed=3)
        tiny.save(self.theirs, folder)
        self.compute = Compute(**options)
        self.config, params = load_llava(folder, scan_layers=self.compute.scan_layers)
        self.params = jax.tree.map(jnp.asarray, params)
        self.model = Llava(self.config, self.compute)

    def batch(self, prompts: list[list[int]]) -> dict:
        first = PROMPTS.index(prompts[0])
        skipped = sum(row.count(IMAGE) for row in PROMPTS[:first])
        batch = make_batch(prompts, self.config.image_tokens, PIXELS[skipped:], slots=2)
        return {name: batch[name] for name in ("tokens", "image_slots", "lengths", "images")}

    def greedy(self, prompts: list[list[int]]) -> list[list[int]]:
        batch = self.batch(prompts)
        return programs.greedy(self.config, self.compute, self.params, batch, NEW).tolist()

    def reference(self, row: int) -> list[int]:
        """What transformers generates for one prompt, greedily, whatever its end token."""
        prompt, count = PROMPTS[row], PROMPTS[row].count(IMAGE)
        skipped = sum(other.count(IMAGE) for other in PROMPTS[:row])
        ids = [
            i
            for token in prompt
            for i in ([IMAGE_TOKEN] * self.config.image_tokens if token == IMAGE else [token])
        ]
        pixels = torch.from_numpy(PIXELS[skipped : skipped + count].transpose(0, 3, 1, 2).copy())
        tokens = torch.tensor([ids])
        with torch.no_grad():
            out = self.theirs.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                pixel_values=pixels if count else None,
                do_sample=False,
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                eos_token_id=None,
                pad_token_id=0,
            )
        return out[0, len(ids) :].tolist()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def greedy(pair: Pair) -> list[list[int]]:
    return pair.greedy(PROMPTS)


def test_greedy_tokens_are_those_of_transformers(pair: Pair, greedy: list[list[int]]):
    assert greedy == [pair.reference(row) for row in range(len(PROMPTS))]
    assert len({token for row in greedy for token in row}) > 10  # not one word over and over


def test_scanned_layers_generate_the_same(tmp_path: Path, greedy: list[list[int]]):
    assert Pair(tmp_path, scan_layers=True).greedy(PROMPTS) == greedy


@pytest.mark.parametrize("row", range(len(PROMPTS)))
def test_a_batch_gives_each_row_what_it_gets_alone(pair: Pair, greedy: list[list[int]], row: int):
    assert pair.greedy([PROMPTS[row]]) == [greedy[row]]


@pytest.mark.parametrize("options", [{}, {"scan_layers": True}, {"platform": "tpu"}])
def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(
    pair: Pair, tmp_path: Path, options: dict, monkeypatch: pytest.MonkeyPatch
):
    """Blocks of four cached tokens, pieces of three: borders of both kinds fall everywhere."""
    monkeypatch.setattr(cache, "_CPU_BLOCK", 4)
    pair = Pair(tmp_path, **options)
    tokens = jnp.asarray(np.random.default_rng(1).integers(3, 90, (1, 15)))

    def piece(first: int, count: int, length: int) -> dict:
        here = jnp.zeros((1, length), jnp.int32).at[:, :count].set(tokens[:, first : first + count])
        images = jnp.zeros((1, length, pair.config.language.width))
        slots = jnp.full((1, length), -1)
        return {
            "tokens": here,
            "image_slots": slots,
            "image_tokens": images,
            "lengths": jnp.array([count]),
        }

    model = (pair.config, pair.compute, pair.params)
    whole, _ = programs.prefill(*model, piece(0, 14, 15))
    cached = make_cache(pair.config.language, pair.compute, 3, 20)
    row = np.int32(1)
    _, new = programs.prefill(*model, piece(0, 3, 3))
    cached = programs.write_row(cached, new, row, np.int32(0))
    for first in (3, 6, 9, 12):
        count = min(3, 14 - first)
        start = np.array([first], np.int32)
        logits, new = programs.extend(*model, piece(first, count, 3), start, cached, row)
        cached = programs.write_row(cached, new, row, start[0])
    np.testing.assert_allclose(logits, whole, atol=2e-5, rtol=1e-5)
    cached = programs.copy_row(cached, row, np.int32(2))
    read = cache.take_row(cached, jnp.int32(2))
    other, _ = programs.prefill(*model, piece(0, 15, 15))
    more, _ = pair.model.apply(
        {"params": pair.params}, tokens[:, 14], jnp.array([14]), read, method="decode"
    )
    np.testing.assert_allclose(more, other, atol=2e-5, rtol=1e-5)


def test_what_a_row_gets_does_not_depend_on_longer_ones(pair: Pair):
    """To the last bit: blocks that only another row has leave its sums as they are."""
    config = pair.config.language
    rng = np.random.default_rng(2)
    cached = make_cache(config, pair.compute, 2, 1024)
    cached = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape, np.float32)), cached)
    token = jnp.array([5, 6])

    def logits(lengths: list[int]) -> np.ndarray:
        return pair.model.apply(
            {"params": pair.params}, token, jnp.array(lengths), cached, method="decode"
        )[0]

    np.testing.assert_array_equal(logits([100, 20])[0], logits([100, 1000])[0])
    assert not np.array_equal(logits([100, 20])[1], logits([100, 1000])[1])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_cache_of_8_bits_is_nearly_the_same(dtype: Any):
    rng = np.random.default_rng(3)
    full, small = Compute(dtype=dtype), Compute(dtype=dtype, int8_cache=True)
    k, v = (jnp.asarray(rng.standard_normal((2, 3, 9, 16)), dtype) for _ in range(2))
    for kept, exact in zip(cache.load(cache.store(k, v, small), small), (k, v), strict=True):
        step = np.abs(exact.astype(jnp.float32)).max(-1, keepdims=True) / 127
        assert (np.abs(kept.astype(jnp.float32) - exact.astype(jnp.float32)) <= 1.1 * step).all()
    for kept, exact in zip(cache.load(cache.store(k, v, full), full), (k, v), strict=True):
        np.testing.assert_array_equal(kept, exact)
    stored = sum(a.nbytes for a in cache.store(k, v, small).values())
    assert stored < 0.75 * sum(a.nbytes for a in cache.store(k, v, full).values())


def test_reading_programs_do_not_copy_the_cache(pair: Pair):
    """A decode step of a long cache moves what it reads; writing moves the new token alone."""
    compute = Compute(dtype=jnp.bfloat16)
    length = 1 << 14
    cached = make_cache(pair.config.language, compute, 2, length)
    rows = programs.no_rows(2, 1)
    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16), pair.params)
    decode = programs.decode.lower(
        pair.config, compute, params, rows, cached, np.zeros(2, bool)
    ).compile()
    size = sum(a.nbytes for a in jax.tree.leaves(cached))
    assert decode.memory_analysis().temp_size_in_bytes < size / 8
    new = jax.tree.map(lambda a: a[..., :1, :], cached)
    write = programs.write.lower(cached, new, np.zeros(2, np.int32)).compile()
    assert write.memory_analysis().temp_size_in_bytes < size / 8
    assert write.memory_analysis().alias_size_in_bytes == size
