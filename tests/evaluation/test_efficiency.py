"""The arithmetic of an answer against what XLA counts; launch/'s tests run the measurement."""

import jax
import numpy as np
import pytest

from llava_jax.evaluation.efficiency import answer_flops, efficiency_table
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava
from llava_jax.models.vision import VisionTower
from tests.inference.tiny import CONFIG, random_params

PARAMS = random_params(CONFIG, Compute())


def counted(function, *arguments) -> float:
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def test_the_tower_is_what_the_compiler_counts() -> None:
    side = CONFIG.vision.image_size
    images = np.zeros((1, side, side, 3), np.float32)
    tower = VisionTower(CONFIG.vision, Compute())
    xla = counted(lambda p, x: tower.apply({"params": p}, x), PARAMS["vision"], images)
    ours = answer_flops(CONFIG, PARAMS, 9, 1, 2) - answer_flops(CONFIG, PARAMS, 9, 1, 1)
    kernels = jax.tree.leaves(PARAMS["projector"])
    ours -= 2 * CONFIG.image_tokens * sum(k.size for k in kernels if k.ndim == 2)
    assert ours == pytest.approx(xla, rel=0.1)  # XLA counts norms and activations as well


def test_the_decoder_is_what_the_compiler_counts() -> None:
    """A prompt read at once, its head at every position and its attention not causal."""
    length = 64
    batch = {
        "tokens": np.zeros((1, length), np.int32),
        "image_slots": np.full((1, length), -1, np.int32),
        "image_tokens": np.zeros((1, 1, CONFIG.language.width), np.float32),
        "positions": np.arange(length)[None],
        "segments": np.ones((1, length), np.int32),
    }
    xla = counted(lambda p, b: Llava(CONFIG, Compute()).apply({"params": p}, b), PARAMS, batch)
    language = CONFIG.language
    heads_width = language.heads * language.size_of_head * language.depth
    ours = answer_flops(CONFIG, PARAMS, length, 1, 0) + 2 * length**2 * heads_width
    ours += 2 * (length - 1) * language.vocab_size * language.width
    assert ours == pytest.approx(xla, rel=0.15)


def test_the_table_says_what_was_not_measured() -> None:
    run = {
        **{"runs_in": "llava_jax", "device": "cpu", "dtype": "float32", "first_token": 0.0123},
        **{"tokens_per_second": 45.67, "images_per_second": 8.9, "peak_bytes": 2_500_000_000},
    }
    report = {"parameters": 162_000_000, "prompt_tokens": 50, "flops_per_answer": 2.5e10}
    text = efficiency_table(report | {"runs": [run], "missing": "not measured in transformers: x"})
    assert "| llava\\_jax | cpu | float32 | 12 | 45.7 | 8.90 | 2.50 |" in text
    assert "162.0 million parameters" in text and text.endswith("transformers: x\n")
