"""config.json: the defaults of transformers' classes, and what we cannot do is refused."""

from dataclasses import replace

import pytest
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    SiglipVisionConfig,
)

from llava_jax.anyres import AnyRes
from llava_jax.errors import UserError
from llava_jax.models import sizes
from llava_jax.models.attention import RopeScaling
from llava_jax.models.vision import CLIP_MEAN
from llava_jax.weights import hf_configs
from llava_jax.weights.hf_configs import (
    language_config,
    llava_config,
    original_config,
    vision_config,
)

ORIGINAL = {"mm_vision_select_layer": -2, "image_aspect_ratio": "anyres"}
TOWER = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}


@pytest.mark.parametrize(
    ("defaults", "config"),
    [
        (hf_configs.CLIP_DEFAULTS, CLIPVisionConfig()),
        (hf_configs.SIGLIP_DEFAULTS, SiglipVisionConfig()),
        (hf_configs.DINOV2_DEFAULTS, Dinov2Config()),
        (hf_configs.LLAMA_DEFAULTS, LlamaConfig()),
        (hf_configs.LLAVA_DEFAULTS, LlavaConfig()),
        (hf_configs.LLAVA_TOWER, LlavaConfig().vision_config),
        (hf_configs.LLAVA_NEXT_DEFAULTS, LlavaNextConfig()),
        (hf_configs.LLAVA_TOWER, LlavaNextConfig().vision_config),
    ],
)
def test_defaults_are_those_of_transformers(defaults: dict, config):
    theirs = config.to_dict()
    assert defaults == {key: theirs[key] for key in defaults}


def test_llava_1_5_7b_says_little_and_means_much():
    raw = {
        "model_type": "llava",
        "text_config": {
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "rms_norm_eps": 1e-05,
            "vocab_size": 32064,
        },
        "vision_config": {
            "hidden_size": 1024,
            "image_size": 336,
            "intermediate_size": 4096,
            "model_type": "clip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
        },
    }
    config = llava_config(raw, {})
    assert config.vision == sizes.VISION["clip_vit_l14_336"]
    assert config.language == replace(sizes.LANGUAGE["vicuna_7b"], vocab_size=32064)
    assert config.image_tokens == 576
    assert llava_config({key: raw[key] for key in ("model_type", "text_config")}, {}) == config


def test_explicit_values_equal_to_derived_ones_make_the_same_configuration():
    raw = {"model_type": "llama", "head_dim": 128, "num_key_value_heads": 32, "rope_scaling": None}
    assert language_config(raw) == language_config({"model_type": "llama"})
    assert language_config({"head_dim": 64}).head_dim == 64


def test_rope_as_transformers_4_and_5_write_it():
    llama3 = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }
    four = language_config({"rope_theta": 500000.0, "rope_scaling": llama3})
    five = language_config({"rope_parameters": llama3 | {"rope_theta": 500000.0}})
    assert four == five
    assert four.rope_theta == 500000.0
    assert four.rope_scaling == RopeScaling(8.0, 1.0, 4.0, 8192)
    plain = {"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}
    assert language_config(plain) == language_config({"rope_theta": 20000.0})


def test_both_halves_of_clip_in_one_file():
    half = {"model_type": "clip_vision_model", "hidden_size": 32, "patch_size": 14}
    whole = {"model_type": "clip", "vision_config": half, "text_config": {"hidden_size": 7}}
    assert vision_config(whole, {}) == vision_config(half, {})
    assert vision_config({"model_type": "siglip"}, {}).image_size == 224


def test_normalisation_is_the_processor_s_else_the_class_s():
    raw = {"model_type": "clip_vision_model"}
    assert vision_config(raw, {}).mean == CLIP_MEAN
    assert vision_config(raw, {"image_mean": [0.1, 0.2, 0.3]}).mean == (0.1, 0.2, 0.3)
    nested = {"image_processor": {"image_std": [0.4, 0.5, 0.6]}}
    assert vision_config(raw, nested).std == (0.4, 0.5, 0.6)
    assert vision_config({"model_type": "siglip_vision_model"}, {}).mean == (0.5, 0.5, 0.5)


def test_the_original_s_config_and_its_tower_s():
    raw = {"mm_vision_select_layer": -2, "mm_projector_type": "mlp2x_gelu", "vocab_size": 512}
    tower = {"model_type": "clip_vision_model", "num_hidden_layers": 4}
    config = original_config(raw, tower, {})
    assert config.vision.feature_layers == (-2,)
    assert config.vision.blocks == 3
    assert config.projector.kind == "mlp2x_gelu"
    assert config.language.vocab_size == 512
    first = {"mm_vision_select_layer": -1, "mm_vision_select_feature": "cls_patch"}
    config = original_config(first, tower, {})
    assert (config.projector.kind, config.vision.feature_select) == ("linear", "full")
    assert config.vision.blocks == 4


def test_pinpoints_are_width_and_height_with_us():
    """As in the original; Hugging Face has them the other way round."""
    hf = llava_config({"model_type": "llava_next"}, {})
    assert hf.anyres == AnyRes(((672, 336), (336, 672), (672, 672), (336, 1008), (1008, 336)))
    assert hf.vision == sizes.VISION["clip_vit_l14_336"]
    given = llava_config({"model_type": "llava_next", "image_grid_pinpoints": [[336, 672]]}, {})
    assert given.anyres == AnyRes(((672, 336),))
    raw = ORIGINAL | {"image_grid_pinpoints": [[336, 672]], "mm_patch_merge_type": "spatial_unpad"}
    assert original_config(raw, TOWER, {}).anyres == AnyRes(((336, 672),))


def test_pinpoints_as_the_original_s_flags_leave_them():
    for text in ("[[336, 672], [672, 336]]", "[(336, 672), (672, 336)]"):
        raw = ORIGINAL | {"image_grid_pinpoints": text}
        assert original_config(raw, TOWER, {}).anyres == AnyRes(((336, 672), (672, 336)), "flat")


@pytest.mark.parametrize("aspect", [None, "square", "pad"])
def test_only_anyres_makes_tiles(aspect):
    raw = ORIGINAL | {"image_aspect_ratio": aspect, "mm_patch_merge_type": "spatial_unpad"}
    assert original_config(raw, TOWER, {}).anyres is None
    assert llava_config({"model_type": "llava"}, {}).anyres is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_aspect_ratio": "anyres_max_9"}, "anyres_max_9"),
        ({"mm_patch_merge_type": "maxpool2x2"}, "maxpool2x2"),
        ({"image_grid_pinpoints": "(1x1),...,(6x6)"}, r"\(1x1\)"),
        ({"image_grid_pinpoints": "[336, 672]"}, r"\[336, 672\]"),
        ({"image_grid_pinpoints": []}, "image_grid_pinpoints"),
        ({"image_grid_pinpoints": None}, "image_grid_pinpoints"),
        ({"image_grid_pinpoints": [[384, 768]]}, "tiles of 336 pixels"),
        (
            {"mm_vision_select_feature": "cls_patch", "mm_patch_merge_type": "spatial"},
            "class token",
        ),
    ],
)
def test_tiles_that_are_not_supported_are_named(changes: dict, named: str):
    raw = ORIGINAL | {"image_grid_pinpoints": [[336, 672]]} | changes
    with pytest.raises(UserError, match=named):
        original_config(raw, TOWER, {})


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: language_config({"model_type": "gpt_neox"}), "gpt_neox"),
        (lambda: language_config({"attention_bias": True}), "attention_bias"),
        (lambda: language_config({"hidden_act": "gelu"}), "hidden_act"),
        (lambda: language_config({"rope_scaling": {"type": "linear", "factor": 2}}), "linear"),
        (lambda: vision_config({"model_type": "vit"}, {}), "vit"),
        (
            lambda: vision_config({"model_type": "clip_vision_model", "hidden_act": "tanh"}, {}),
            "tanh",
        ),
        (lambda: vision_config({"model_type": "dinov2", "use_swiglu_ffn": True}, {}), "swiglu"),
        (lambda: llava_config({"vision_feature_select_strategy": "half"}, {}), "half"),
        (lambda: llava_config({"projector_hidden_act": "relu"}, {}), "projector_hidden_act"),
        (lambda: original_config({}, {"model_type": "clip"}, {}), "mm_vision_select_layer"),
    ],
)
def test_what_is_not_supported_is_named(build, named: str):
    with pytest.raises(UserError, match=named):
        build()
