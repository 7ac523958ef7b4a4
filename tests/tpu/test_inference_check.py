"""Prefill and decode of a small model, counted by hand."""

import pytest

from llava_jax.errors import UserError
from llava_jax.tpu.inference_check import InferenceCheck, run_inference_check
from llava_jax.tpu.report import Report
from llava_jax.tpu.topology import parse_topology
from tests.tpu.small import LANGUAGE, small_check

CHIPS, CONTEXT = 4, 512
LAYERS = LANGUAGE.depth * (4 * LANGUAGE.width**2 + 3 * LANGUAGE.width * LANGUAGE.mlp_width)
HEAD = LANGUAGE.vocab_size * LANGUAGE.width


def check(
    kind: str,
    rows: int,
    patch: pytest.MonkeyPatch,
    topology: str = "v5e-4",
    int8: bool = False,
) -> Report:
    recipe = small_check("align", topology, patch).recipe
    job = InferenceCheck(recipe, kind, parse_topology(topology), rows, CONTEXT, int8)
    return run_inference_check(job)[0]


@pytest.mark.slow
def test_decode_reads_weights_and_cache_once(tpu_compiler: None, monkeypatch: pytest.MonkeyPatch):
    report = check("decode", 1, monkeypatch)
    work, speed = report.work, report.speed
    assert work and speed
    attention = 4 * CONTEXT * LANGUAGE.width * LANGUAGE.depth
    assert work.model_tflops * CHIPS * 1e12 == pytest.approx(2 * (LAYERS + HEAD) + attention)
    cache = 2 * CONTEXT * LANGUAGE.width * LANGUAGE.depth
    least = 2 * (LAYERS + HEAD + cache) / CHIPS  # bytes in bfloat16
    assert least < work.hbm_gib * 2**30 < 2 * least  # the cache is written too
    assert work.aliased_buffers == 2  # keys and values are updated in place
    assert speed.hours is None
    assert speed.limited_by in ("hbm", "exposed collectives")


@pytest.mark.slow
def test_weights_in_8_bits_are_half_to_read(tpu_compiler: None, monkeypatch: pytest.MonkeyPatch):
    report = check("decode", 8, monkeypatch, int8=True)
    assert report.work and report.setting.recipe.endswith("in 8 bits")
    cache = 8 * 2 * CONTEXT * LANGUAGE.width * LANGUAGE.depth
    least = (LAYERS + HEAD + 2 * cache) / CHIPS
    assert least < report.work.hbm_gib * 2**30 < 1.5 * least
    assert report.work.aliased_buffers == 2


@pytest.mark.slow
def test_prefill_computes_what_its_tokens_need(tpu_compiler: None, monkeypatch: pytest.MonkeyPatch):
    work = check("prefill", 2, monkeypatch).work
    assert work
    attention = 2 * CONTEXT * LANGUAGE.width * LANGUAGE.depth  # of a token, half the prompt
    model = 2 * (CONTEXT * (2 * LAYERS + attention) + 2 * HEAD)
    assert work.model_tflops * CHIPS * 1e12 == pytest.approx(model)
    # Dense scores: the half above the diagonal is computed too; and the tower's products.
    computed = model + 2 * CONTEXT * attention
    tower = work.vision_tflops * CHIPS * 1e12
    assert work.matrix_tflops * CHIPS * 1e12 == pytest.approx(computed + tower, rel=0.02)


def test_several_slices_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="decode runs on one slice, and 2xv5e-4 is several"):
        check("decode", 1, monkeypatch, "2xv5e-4")


def test_chips_that_heads_do_not_divide_by(tpu_compiler: None, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="4 heads of keys cannot be shared by 8 chips"):
        check("decode", 1, monkeypatch, "v5e-8")
