"""Published sizes: exact parameter counts, without making a single parameter."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers import LlavaConfig as TheirConfig

from llava_jax import partition
from llava_jax.config import Model
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig
from llava_jax.models.sizes import LANGUAGE, VISION, llava_config
from llava_jax.weights.hf_configs import language_config, vision_config

V1 = {"vision": "clip_vit_l14", "projector": "linear"}
V1_5 = {"vision": "clip_vit_l14_336", "projector": "mlp2x_gelu"}

# The tower without its last block and final norm + projector + decoder
TOWER_224, TOWER_336 = 290_581_504, 290_909_184
LLAMA_7B, LLAMA_13B = 6_738_415_616, 13_015_864_320
PUBLISHED = {
    "v1_7b": (
        Model(language="vicuna_7b_v1", **V1),
        TOWER_224 + (1024 * 4096 + 4096) + LLAMA_7B,
    ),
    "v1_13b": (
        Model(language="vicuna_13b_v1", **V1),
        TOWER_224 + (1024 * 5120 + 5120) + LLAMA_13B,
    ),
    "v1_5_7b": (
        Model(language="vicuna_7b", **V1_5),
        TOWER_336 + (1024 * 4096 + 4096) + (4096 * 4096 + 4096) + LLAMA_7B,
    ),
    "v1_5_13b": (
        Model(language="vicuna_13b", **V1_5),
        TOWER_336 + (1024 * 5120 + 5120) + (5120 * 5120 + 5120) + LLAMA_13B,
    ),
}
# Block 24 (four attention products, two of the MLP, two norms) and post_layernorm
UNREAD = 4 * (1024**2 + 1024) + (2 * 1024 * 4096 + 4096 + 1024) + 2 * 2048 + 2048


def abstract_params(config: LlavaConfig, scan: bool) -> dict[str, jax.ShapeDtypeStruct]:
    """{path: shape} of all parameters; also checks the shapes of one pass."""
    # The TPU's attention kernel takes rows of whole blocks.
    length, size = -(-(config.image_tokens + 8) // 128) * 128, config.vision.image_size
    row = jax.ShapeDtypeStruct((1, length), jnp.int32)
    batch = dict.fromkeys(("tokens", "positions", "segments", "image_slots"), row)
    batch["images"] = jax.ShapeDtypeStruct((1, 1, size, size, 3), jnp.uint8)
    model = Llava(config, Compute(dtype=jnp.bfloat16, platform="tpu", scan_layers=scan))
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), batch)
    assert logits.shape == (1, length, config.language.vocab_size)
    assert logits.dtype == jnp.float32
    return partition.flatten(variables["params"])


def count(leaves: dict[str, jax.ShapeDtypeStruct]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves.values())


def count_of_transformers(config: LlavaConfig) -> int:
    """Parameters of the same LLaVA there, whose projector is always the one of 1.5."""
    vision, language = config.vision, config.language
    theirs = TheirConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=vision.width,
            intermediate_size=vision.mlp_width,
            num_hidden_layers=vision.depth,
            num_attention_heads=vision.heads,
            image_size=vision.image_size,
            patch_size=vision.patch_size,
        ),
        text_config=LlamaConfig(
            vocab_size=language.vocab_size,
            hidden_size=language.width,
            intermediate_size=language.mlp_width,
            num_hidden_layers=language.depth,
            num_attention_heads=language.heads,
        ),
    )
    with torch.device("meta"):
        return sum(p.numel() for p in LlavaForConditionalGeneration(theirs).parameters())


@pytest.mark.parametrize("scan", [True, False], ids=["scanned", "unrolled"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_llava_has_exactly_its_parameters(name: str, scan: bool):
    model, expected = PUBLISHED[name]
    config = llava_config(model)
    assert config.image_tokens == (576 if "v1_5" in name else 256)
    leaves = abstract_params(config, scan)
    assert count(leaves) == expected
    theirs = count_of_transformers(config)
    if config.projector.kind == "linear":
        theirs -= config.language.width * (config.language.width + 1)
    assert count(leaves) + UNREAD == theirs
    assert {leaf.dtype for leaf in leaves.values()} == {jnp.dtype(jnp.float32)}


def test_llava_hf_pads_the_vocabulary_of_the_7b():
    """The count of llava-hf/llava-1.5-7b-hf, 64 rows more in the embedding and in the head."""
    model, ours = PUBLISHED["v1_5_7b"]
    assert ours + UNREAD + 2 * 64 * 4096 == 7_063_427_072
    config = llava_config(model)
    padded = dataclasses.replace(config.language, vocab_size=32064)
    assert count_of_transformers(dataclasses.replace(config, language=padded)) == 7_063_427_072


def test_smollm2_and_its_tower():
    """134.5M in the decoder, 22.1M in the tower; all blocks are read."""
    config = llava_config(
        Model(
            vision="dinov2_vit_s14",
            language="smollm2_135m",
            merge=2,
            image_size=112,
            feature_layers=(-1,),
        )
    )
    assert (config.image_tokens, config.vision.positions, config.vision.grid) == (16, 37, 8)
    leaves = abstract_params(config, scan=False)
    parts = [count({p: x for p, x in leaves.items() if p.startswith(top)}) for top in "lvp"]
    assert parts[:2] == [134_515_008, 22_056_192]
    assert leaves["vision/position_embedding"].shape == (1 + 37 * 37, 384)
    assert leaves["projector/dense_0/kernel"].shape == (4 * 384, 576)
    assert "language/lm_head/kernel" not in leaves


def test_siglip_is_transformers_but_for_its_last_block_and_pooling():
    config = VISION["siglip_so400m_14_384"]
    theirs = SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        image_size=384,
        patch_size=14,
    )
    assert vision_config(theirs.to_dict(), {}) == config
    with torch.device("meta"):
        names = dict(SiglipVisionModel(theirs).named_parameters())
    unread = ("encoder.layers.26.", "post_layernorm.", "head.")
    read = sum(p.numel() for name, p in names.items() if not any(u in name for u in unread))
    leaves = abstract_params(llava_config(Model(vision="siglip_so400m_14_384")), scan=True)
    assert count({p: x for p, x in leaves.items() if p.startswith("vision")}) == read


def test_constants_are_those_of_the_published_files():
    """Written as in each config.json: what is not there is its class's default."""
    clip = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    }
    for name, size in (("clip_vit_l14", 224), ("clip_vit_l14_336", 336)):
        theirs = CLIPVisionConfig(image_size=size, **clip)
        assert vision_config(theirs.to_dict(), {}) == VISION[name]
    vicuna = LlamaConfig(rms_norm_eps=1e-5, max_position_embeddings=4096)
    assert language_config(vicuna.to_dict()) == LANGUAGE["vicuna_7b"]
    assert language_config(LlamaConfig().to_dict()) == LANGUAGE["vicuna_7b_v1"]
    smollm2 = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        rope_theta=100000,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
    )
    assert language_config(smollm2.to_dict()) == LANGUAGE["smollm2_135m"]


def test_the_recipe_chooses_layers_size_and_merging():
    config = llava_config(
        Model(
            vision="tiny_clip",
            language="tiny_llama",
            projector="linear",
            merge=2,
            feature_layers=(-1, -2),
            image_size=84,
        )
    )
    assert config.vision.positions == 4  # what the checkpoint holds
    assert (config.vision.grid, config.image_tokens) == (6, 9)
    assert config.vision.feature_width == 128
    assert config.projector.kind == "linear"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(vision="clip"), "unknown vision tower 'clip': choose one of clip_vit_l14, clip_"),
        (Model(language="gpt"), "unknown language model 'gpt': choose one of smollm2_135m, tiny"),
        (Model(projector="mlp"), "unknown projector 'mlp'"),
        (Model(feature_layers=(25,)), "this tower has 24 blocks"),
        (Model(image_size=10), "smaller than one patch"),
        (Model(merge=5), "merge 5 does not divide the 24x24 patches"),
        (Model(merge=2, feature_select="full"), "would merge a class token"),
    ],
)
def test_what_cannot_be_built_is_refused(model: Model, message: str):
    with pytest.raises(UserError, match=message):
        llava_config(model)
