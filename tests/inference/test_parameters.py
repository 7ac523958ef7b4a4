"""Models whose weights are in 8 bits."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax import partition
from llava_jax.inference import programs
from llava_jax.inference.engine import Engine, ask
from llava_jax.inference.parameters import for_answers, prepared
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from tests.inference import tiny

UNTIED = replace(tiny.CONFIG, language=replace(tiny.CONFIG.language, tied_head=False))
TIED = replace(tiny.CONFIG, language=replace(tiny.CONFIG.language, tied_head=True))
PLAIN = Compute(int8_weights=True)


def logits(config: LlavaConfig, compute: Compute) -> np.ndarray:
    params = prepared(tiny.random_params(config, compute), compute)
    tokens = np.random.default_rng(0).integers(0, 256, (2, 24), np.int32)
    piece = {
        "tokens": tokens,
        "image_slots": np.full_like(tokens, -1),
        "image_tokens": np.zeros((2, 24, config.language.width), np.float32),
        "lengths": np.array([24, 20], np.int32),
    }
    return np.asarray(programs.prefill(config, compute, params, piece)[0])


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_rounded_weights_give_nearly_the_same_logits(config: LlavaConfig):
    exact, rounded = logits(config, Compute()), logits(config, PLAIN)
    error = np.abs(rounded - exact).mean() / np.abs(exact).mean()
    assert 1e-3 < error < 0.05
    np.testing.assert_array_equal(rounded.argmax(-1), exact.argmax(-1))


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_our_kernels_give_the_logits_of_xla(config: LlavaConfig):
    compute = for_answers(Compute(), int8_weights=True)
    if not compute.native:
        pytest.skip("needs AVX-512 and a compiler")
    np.testing.assert_allclose(logits(config, compute), logits(config, PLAIN), atol=1e-3)


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_our_kernels_change_nothing_of_full_weights(config: LlavaConfig):
    compute = for_answers(Compute())
    np.testing.assert_allclose(logits(config, compute), logits(config, Compute()), atol=1e-4)
    assert not for_answers(Compute(), chips=2).native


def test_what_is_rounded():
    compute = Compute(jnp.bfloat16, int8_weights=True, scan_layers=True)
    params = tiny.random_params(UNTIED, compute)
    kept = partition.flatten(prepared(params, compute))
    small = {path for path, leaf in kept.items() if leaf.dtype == jnp.int8}
    assert small == {
        path
        for path in partition.flatten(params)
        if path.startswith("language") and path.endswith(("kernel", "embedding"))
    }
    for path in small:
        full = partition.flatten(params)[path]
        scale = kept[f"{path}_scale"]
        scale = scale[..., None] if "embedding" in path else scale[..., None, :]
        assert (np.abs(kept[path] * scale - full) <= 0.501 * scale).all(), path


def test_an_engine_answers_in_8_bits():
    compute = for_answers(Compute(), int8_weights=True)
    params = tiny.random_params(tiny.CONFIG, Compute())
    engine = Engine(tiny.CONFIG, params, compute, tiny.tokenizer(), "chatml", "pad")
    requests = [ask("Why?", tiny.picture(1), max_new_tokens=9), ask("How?", max_new_tokens=9)]
    together = engine.generate(requests)
    assert together == [engine.generate([request])[0] for request in requests]
    assert together[0].tokens and jax.default_backend() == "cpu"
