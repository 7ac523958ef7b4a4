"""GGUF files: SmolLM2 against transformers' own loader, every quantisation, and damaged files."""

from pathlib import Path
from typing import Any

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Quant
from transformers import AutoConfig, LlamaForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
from transformers.modeling_utils import no_init_weights

from llava_jax.errors import UserError
from llava_jax.models import sizes
from llava_jax.models.attention import RopeScaling, rotary_frequencies
from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageConfig, LanguageModel
from llava_jax.weights.gguf import load, template_name
from tests.weights import tiny

WIDTH = 256  # K-quants come in blocks of 256


def llama() -> LlamaForCausalLM:
    return tiny.llama(hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1)


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows as llama.cpp wants queries and keys: both halves of a head dealt out alternately."""
    left, right = np.split(weight.reshape(heads, -1, weight.shape[1]), 2, axis=1)
    return np.stack([left, right], axis=2).reshape(weight.shape)


def gguf_tensors(model: LlamaForCausalLM) -> dict[str, np.ndarray]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    tensors = {}
    for name, weight in model.state_dict().items():
        array = weight.numpy()
        if "q_proj" in name:
            array = interleaved(array, model.config.num_attention_heads)
        elif "k_proj" in name:
            array = interleaved(array, model.config.num_key_value_heads)
        found = names.get_name(name, try_suffixes=(".weight",))
        assert found is not None
        tensors[found] = array
    return tensors


def random_blocks(kind: Quant, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of a kind that only llama.cpp can write: random, but for the blocks' float16 scales."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // block, size), dtype=np.uint8)
    scale = np.frombuffer(np.float16(1e-3).tobytes(), np.uint8)
    places = {Quant.Q4_K: (0, 2), Quant.Q6_K: (size - 2,), Quant.Q8_K: ()}[kind]
    for place in places:
        blocks[..., place : place + 2] = scale
    return blocks.reshape(*shape[:-1], -1)


def write(
    path: Path,
    tensors: dict[str, np.ndarray],
    kind: Quant = Quant.F32,
    metadata: dict[str, Any] | None = None,
    architecture: str = "llama",
) -> Path:
    """A file of `llama()`'s sizes; matrices are stored as `kind`."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(96)
    for key, value in (metadata or {}).items():
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name, array in tensors.items():
        if array.ndim == 1 or kind == Quant.F32:
            writer.add_tensor(name, array)
        elif kind in (Quant.Q4_K, Quant.Q6_K, Quant.Q8_K):
            writer.add_tensor(name, random_blocks(kind, array.shape), raw_dtype=kind)
        else:
            writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def our_logits(config: LanguageConfig, params: dict[str, Any], tokens: np.ndarray) -> np.ndarray:
    model = LanguageModel(config, Compute(scan_layers="layers" in params))

    def run(m: LanguageModel, tokens: Any) -> Any:
        positions = jnp.arange(tokens.shape[1])[None]
        return m.logits(m(m.embed_tokens(tokens), positions, jnp.ones_like(positions)))

    apply = jax.jit(lambda params: model.apply({"params": params}, jnp.asarray(tokens), method=run))
    return np.asarray(apply(params))


def their_logits(path: Path, tokens: np.ndarray) -> np.ndarray:
    """transformers' own GGUF loader (without the `accelerate` that its front door asks for)."""
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    with no_init_weights():
        model = LlamaForCausalLM(config)
    loaded = load_gguf_checkpoint(path, return_tensors=True, model_to_load=model)
    missing, unexpected = model.load_state_dict(loaded["tensors"], strict=False, assign=True)
    assert (missing, unexpected) == (["lm_head.weight"] if config.tie_word_embeddings else [], [])
    model.tie_weights()
    with torch.no_grad():
        return model.eval()(torch.tensor(tokens)).logits.numpy()


TOKENS = np.arange(12)[None] * 7 % 96


@pytest.mark.parametrize("scan_layers", [False, True])
def test_the_model_before_conversion_comes_back(tmp_path: Path, scan_layers: bool):
    model = llama()
    path = write(tmp_path / "m.gguf", gguf_tensors(model))
    with torch.no_grad():
        theirs = model(torch.tensor(TOKENS)).logits.numpy()
    ours = our_logits(*load(path, scan_layers=scan_layers), TOKENS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [Quant.F16, Quant.BF16, Quant.Q8_0, Quant.Q4_0, Quant.Q4_1, Quant.Q4_K, Quant.Q6_K],
    ids=lambda kind: kind.name,
)
def test_every_quantisation_reads_as_in_transformers(tmp_path: Path, kind: Quant):
    path = write(tmp_path / "m.gguf", gguf_tensors(llama()), kind)
    ours, theirs = our_logits(*load(path), TOKENS), their_logits(path, TOKENS)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * theirs.std())


@pytest.mark.slow
def test_smollm2(pocket_language: Path):
    config, params = load(pocket_language, scan_layers=True)
    assert config == sizes.LANGUAGE["smollm2_135m"]
    assert template_name(pocket_language) == "smollm2"
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (1, 40))
    ours = our_logits(config, params, tokens)
    theirs = their_logits(pocket_language, tokens)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_llama_3_s_scaling_is_told_by_its_divisors(tmp_path: Path):
    scaling = RopeScaling(32.0, 1.0, 4.0, 8192)
    plain = rotary_frequencies(64, 5e5, None)
    divisors = plain / rotary_frequencies(64, 5e5, scaling)
    metadata = {"llama.rope.freq_base": 5e5}
    tensors = gguf_tensors(llama())
    path = write(tmp_path / "m.gguf", {**tensors, "rope_freqs.weight": divisors}, metadata=metadata)
    config, _ = load(path)
    assert config.rope_scaling == scaling
    other = {**tensors, "rope_freqs.weight": divisors[::-1].copy()}
    path = write(tmp_path / "n.gguf", other, metadata=metadata)
    with pytest.raises(UserError, match=r"rope_freqs\.weight is not the scaling of a Llama 3"):
        load(path)


def test_dtype_is_what_is_asked_for(tmp_path: Path):
    path = write(tmp_path / "m.gguf", gguf_tensors(llama()))
    _, params = load(path, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(jnp.bfloat16)}


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path: Path):
    tensors = gguf_tensors(llama())
    del tensors["output_norm.weight"]
    tensors["blk.0.ffn_up.weight"] = np.zeros((7, WIDTH), np.float32)
    tensors["blk.1.ffn_up.weight"] = np.zeros((7, WIDTH), np.float32)
    with pytest.raises(UserError) as error:
        load(write(tmp_path / "m.gguf", tensors))
    for part in (
        "m.gguf",
        "missing output_norm.weight",
        "unknown blk.1.ffn_up.weight",
        f"blk.0.ffn_up.weight [7, {WIDTH}] instead of [{WIDTH}, {WIDTH}]",
    ):
        assert part in str(error.value)


def test_a_quantisation_that_cannot_be_read_names_its_tensor(tmp_path: Path):
    path = write(tmp_path / "m.gguf", gguf_tensors(llama()), Quant.Q8_K)
    with pytest.raises(UserError, match=r"token_embd\.weight is quantised as Q8_K"):
        load(path)


@pytest.mark.parametrize(
    ("metadata", "architecture", "named"),
    [
        ({}, "qwen2", "architecture 'qwen2'"),
        ({"llama.rope.scaling.type": "yarn"}, "llama", r"rope\.scaling\.type=yarn"),
        ({"llama.rope.dimension_count": 32}, "llama", r"rope\.dimension_count=32"),
        ({"llama.expert_count": 8}, "llama", r"expert_count=8"),
    ],
)
def test_what_our_decoder_has_not_is_refused(
    tmp_path: Path, metadata: dict, architecture: str, named: str
):
    path = write(
        tmp_path / "m.gguf", gguf_tensors(llama()), metadata=metadata, architecture=architecture
    )
    with pytest.raises(UserError, match=named):
        load(path)


@pytest.mark.parametrize("kept", [2, 300, 5000, -1000])
def test_a_truncated_file_is_named(tmp_path: Path, kept: int):
    path = write(tmp_path / "m.gguf", gguf_tensors(llama()))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"m\.gguf is truncated, damaged or no GGUF file"):
        load(path)


def test_no_file_at_all(tmp_path: Path):
    with pytest.raises(UserError, match=r"m\.gguf is missing"):
        load(tmp_path / "m.gguf")
