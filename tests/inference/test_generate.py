"""Prefill and decode: against transformers, and batches against single rows."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from llava_jax.inference import generate
from llava_jax.inference.sampling import SamplingParams
from llava_jax.models.compute import Compute
from llava_jax.models.language import make_cache
from llava_jax.models.llava import Llava
from llava_jax.weights.huggingface import load_llava
from tests.inference.tokens import limits_of, run
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

    def __init__(self, folder: Path, scan_layers: bool = False):
        self.theirs = randomized(tiny.llava(), seed=3)
        tiny.save(self.theirs, folder)
        self.config, params = load_llava(folder, scan_layers=scan_layers)
        self.params = jax.tree.map(jnp.asarray, params)
        self.compute = Compute(scan_layers=scan_layers)

    def batch(self, prompts: list[list[int]]) -> dict:
        """Features instead of pixels, as the engine has them."""
        first = PROMPTS.index(prompts[0])
        skipped = sum(row.count(IMAGE) for row in PROMPTS[:first])
        batch = make_batch(prompts, self.config.image_tokens, PIXELS[skipped:], slots=2)
        images = batch.pop("images")
        features = generate.encode_images(
            self.config, self.compute, self.params, images.reshape(-1, *images.shape[2:])
        )
        batch["features"] = features.reshape(*images.shape[:2], *features.shape[1:])
        return {name: batch[name] for name in ("tokens", "image_slots", "lengths", "features")}

    def run(
        self, prompts: list[list[int]], limits: generate.Limits | None = None, steps: int = 5
    ) -> list[list[int]]:
        limits = limits or limits_of(len(prompts), NEW)
        model = (self.config, self.compute, self.params)
        return run(model, self.batch(prompts), limits, steps=steps)

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
    return pair.run(PROMPTS)


def test_greedy_tokens_are_those_of_transformers(pair: Pair, greedy: list[list[int]]):
    assert greedy == [pair.reference(row) for row in range(len(PROMPTS))]
    assert len({token for row in greedy for token in row}) > 10  # not one word over and over


def test_scanned_layers_generate_the_same(tmp_path: Path, greedy: list[list[int]]):
    assert Pair(tmp_path, scan_layers=True).run(PROMPTS) == greedy


@pytest.mark.parametrize("row", range(len(PROMPTS)))
def test_a_batch_gives_each_row_what_it_gets_alone(pair: Pair, greedy: list[list[int]], row: int):
    assert pair.run([PROMPTS[row]]) == [greedy[row]]


def test_logits_in_a_batch_are_those_of_single_rows(pair: Pair):
    model = Llava(pair.config, pair.compute)

    @jax.jit
    def logits(params: Any, batch: dict) -> tuple[jax.Array, jax.Array]:
        rows, length = batch["tokens"].shape
        cache = make_cache(pair.config.language, pair.compute, rows, length + 2)
        first, cache = model.apply({"params": params}, batch, cache, method="prefill")
        token = jnp.full(rows, 7)
        second, _ = model.apply({"params": params}, token, batch["lengths"], cache, method="decode")
        return first, second

    together = logits(pair.params, pair.batch(PROMPTS))
    for row, prompt in enumerate(PROMPTS):
        alone = logits(pair.params, pair.batch([prompt]))
        for batched, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(batched[row], single[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, generate.CHUNK])
def test_chunks_do_not_change_tokens(pair: Pair, greedy: list[list[int]], steps: int):
    assert pair.run(PROMPTS, steps=steps) == greedy


def test_each_row_ends_at_its_stop_token_or_limit(pair: Pair, greedy: list[list[int]]):
    stop, most = greedy[0][3], [NEW, 1, 7, 0]
    limits = limits_of(4, most, stops=(generate.NOTHING, stop))
    expected = []
    for row, count in zip(greedy, most, strict=True):
        ends = row.index(stop) + 1 if stop in row else len(row)
        expected.append(row[: min(ends, count)])
    ours = pair.run(PROMPTS, limits)
    assert ours[:3] == expected[:3]
    assert len(ours[3]) == 1  # a row without a limit of its own only fills the batch


def test_rows_stopped_by_the_caller_give_nothing_more(pair: Pair, greedy: list[list[int]]):
    model, limits = (pair.config, pair.compute, pair.params), limits_of(4, NEW)
    state = generate.grow(generate.prefill(*model, pair.batch(PROMPTS), limits), 64)
    stopped = np.array([True, False, True, False])
    state, tokens = generate.decode(*model, state, limits, stopped, np.int32(4))
    assert (np.asarray(tokens)[[0, 2]] == generate.NOTHING).all()
    assert np.asarray(tokens)[1, :4].tolist() == greedy[1][1:5]
    np.testing.assert_array_equal(state.generated, [1, 5, 1, 5])


def test_drawn_rows_are_the_same_in_any_batch(pair: Pair, greedy: list[list[int]]):
    ways = [
        SamplingParams(1.0, seed=1),
        SamplingParams(),
        SamplingParams(0.8, top_k=20, seed=2),
        SamplingParams(1.3, top_p=0.9, seed=1),
    ]
    together = pair.run(PROMPTS, limits_of(4, NEW, sampling=ways))
    assert together[1] == greedy[1]
    assert together[0] != greedy[0] and together[2] != greedy[2] and together[3] != greedy[3]
    for row in range(4):
        assert pair.run([PROMPTS[row]], limits_of(1, NEW, sampling=[ways[row]])) == [together[row]]


def test_buckets_are_few_and_waste_little():
    sizes = [generate.bucket(length, 16) for length in range(1, 4097)]
    assert all(length <= size for length, size in enumerate(sizes, 1))
    assert max(size / length for length, size in enumerate(sizes, 1) if length > 64) <= 1.25
    assert sorted(set(sizes))[:9] == [16, 32, 48, 64, 80, 96, 112, 128, 160]
    assert len(set(sizes)) == 28 and sizes[-1] == 4096
    assert [generate.bucket(n, 2) for n in (1, 2, 3, 17, 32, 33, 64)] == [2, 2, 4, 20, 32, 40, 64]
    assert [generate.power_of_two(n) for n in (0, 1, 2, 3, 4, 5, 33)] == [1, 1, 2, 4, 4, 8, 64]
    assert generate.power_of_two(1, least=2) == 2
