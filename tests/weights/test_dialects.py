"""The tables cover every tensor of the real models, and a dialect is told by its names."""

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from llava_jax.errors import UserError
from llava_jax.models.projector import ProjectorConfig
from llava_jax.weights.dialects import DIALECTS, language_table, recognise, vision_table
from llava_jax.weights.hf_configs import language_config, llava_config, vision_config
from llava_jax.weights.huggingface import TEXT_HALF
from llava_jax.weights.rules import Table, check
from llava_jax.weights.shapes import language_shapes, llava_shapes, vision_shapes
from llava_jax.weights.stored import StoredTensor
from llava_jax.weights.stored_llava import whole

SIZES = {
    "7b": {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "vocab_size": 32064},
    "13b": {
        "vocab_size": 32064,
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
}


def unread() -> torch.Tensor:
    raise AssertionError("a check of names and shapes should read nothing")


def source(build) -> dict[str, StoredTensor]:
    """Names and shapes of a model that is never made."""
    with torch.device("meta"):
        tensors = build().state_dict()
    return {
        name: StoredTensor(tuple(t.shape), np.dtype(np.float32), unread)
        for name, t in tensors.items()
    }


@pytest.mark.parametrize("size", SIZES)
def test_llava_1_5_is_covered_completely(size: str):
    hf = LlavaConfig(text_config={"model_type": "llama", **SIZES[size]})
    tensors = source(lambda: LlavaForConditionalGeneration(hf))
    config = llava_config(hf.to_diff_dict(), {})
    dialect = recognise(tensors, "it")
    assert dialect.name == "transformers 4 in memory"
    check(dialect.table(config), llava_shapes(config), tensors, "it")
    # What is written: every tensor there is, the tower's last block and its final norm too.
    everything = dialect.table(whole(config))
    check(everything, llava_shapes(whole(config)), tensors, "it")
    assert {name for name, _ in everything.names.values()} == set(tensors)


@pytest.mark.parametrize("tied", [False, True])
def test_llama_is_covered_completely(tied: bool):
    hf = LlamaConfig(tie_word_embeddings=tied, num_key_value_heads=8)
    tensors = source(lambda: LlamaForCausalLM(hf))
    config = language_config(hf.to_dict())
    check(language_table(config), language_shapes(config), tensors, "it")


def test_siglip_is_covered_completely():
    hf = SiglipVisionConfig(hidden_size=1152, intermediate_size=4304, num_attention_heads=16)
    tensors = source(lambda: SiglipVisionModel(hf))
    config = vision_config(hf.to_dict(), {})
    check(vision_table(config).under("", "vision_model."), vision_shapes(config), tensors, "it")


def test_dinov2_is_covered_completely():
    hf = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518)
    tensors = source(lambda: Dinov2Model(hf))
    config = vision_config(hf.to_dict(), {})
    check(vision_table(config), vision_shapes(config), tensors, "it")


def test_the_text_half_of_clip_is_carried():
    hf = CLIPConfig()
    tensors = source(lambda: CLIPModel(hf))
    config = vision_config(hf.to_dict(), {})
    table = vision_table(config).under("", "vision_model.") | Table({}, TEXT_HALF)
    check(table, vision_shapes(config), tensors, "it")


def test_blocks_after_the_selected_layer_are_carried_but_not_more_than_there_are():
    hf = SiglipVisionConfig(num_hidden_layers=4)
    config = vision_config(hf.to_dict(), {})
    table, shapes = vision_table(config).under("", "vision_model."), vision_shapes(config)
    assert not any("layers.3." in name for name, _ in table.names.values())
    deeper = SiglipVisionConfig(num_hidden_layers=5)
    with pytest.raises(UserError, match=r"unknown vision_model\.encoder\.layers\.4\."):
        check(table, shapes, source(lambda: SiglipVisionModel(deeper)), "it")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_every_dialect_is_recognised_by_its_own_names(dialect):
    hf = LlavaConfig(
        vision_config={"model_type": "clip_vision_model"},
        text_config={"model_type": "llama", "num_hidden_layers": 2},
    )
    table = dialect.table(llava_config(hf.to_diff_dict(), {}))
    names = [name for name, _ in table.names.values()]
    assert len(set(names)) == len(names)
    assert recognise(names, "it") is dialect


def test_the_original_s_projector_counts_its_activations():
    original = DIALECTS[-1]
    assert original.dense_names(ProjectorConfig("linear")) == ["model.mm_projector"]
    assert original.dense_names(ProjectorConfig("mlp3x_gelu")) == [
        "model.mm_projector.0",
        "model.mm_projector.2",
        "model.mm_projector.4",
    ]


def test_no_llava_at_all():
    with pytest.raises(UserError, match=r"it is no LLaVA checkpoint.*transformer\.h\.0"):
        recognise(["transformer.h.0.weight"], "it")
