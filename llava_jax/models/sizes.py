"""Published sizes by name, and the LlavaConfig that a recipe's names stand for.

Widths and constants are those of the config.json files published with each model. Vocabularies
are the published ones too: 32000 for Vicuna, as the original LLaVA keeps it (Hugging Face's
copies of LLaVA-1.5 pad it to 32064; a checkpoint's own config says so when it is loaded).
"""

from dataclasses import replace
from typing import TypeVar

from llava_jax import config
from llava_jax.errors import UserError
from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.vision import VisionConfig

_Size = TypeVar("_Size")

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)

_CLIP_L14 = VisionConfig(
    width=1024, mlp_width=4096, depth=24, heads=16, image_size=224, patch_size=14
)

VISION: dict[str, VisionConfig] = {
    # openai/clip-vit-large-patch14 (LLaVA-1.0) and -336 (LLaVA-1.5)
    "clip_vit_l14": _CLIP_L14,
    "clip_vit_l14_336": replace(_CLIP_L14, image_size=336),
    # google/siglip-so400m-patch14-384
    "siglip_so400m_14_384": VisionConfig(
        width=1152,
        mlp_width=4304,
        depth=27,
        heads=16,
        image_size=384,
        patch_size=14,
        activation="gelu_tanh",
        norm_eps=1e-6,
        class_token=False,
        patch_bias=True,
        pre_norm=False,
        mean=_HALF,
        std=_HALF,
    ),
    # facebook/dinov2-small, whose features are read after its final norm
    "dinov2_vit_s14": VisionConfig(
        width=384,
        mlp_width=1536,
        depth=12,
        heads=6,
        image_size=518,
        patch_size=14,
        activation="gelu",
        norm_eps=1e-6,
        patch_bias=True,
        pre_norm=False,
        post_norm=True,
        layer_scale=True,
        positions=37,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    ),
    # Nobody's: small enough for tests
    "tiny_clip": VisionConfig(
        width=64, mlp_width=128, depth=4, heads=4, image_size=56, patch_size=14
    ),
}

# lmsys/vicuna-7b-v1.5 and -13b-v1.5: Llama 2
_VICUNA_7B = LanguageConfig(
    vocab_size=32000,
    width=4096,
    mlp_width=11008,
    depth=32,
    heads=32,
    kv_heads=32,
    max_length=4096,
)
_VICUNA_13B = replace(_VICUNA_7B, width=5120, mlp_width=13824, depth=40, heads=40, kv_heads=40)

LANGUAGE: dict[str, LanguageConfig] = {
    "vicuna_7b": _VICUNA_7B,
    "vicuna_13b": _VICUNA_13B,
    # lmsys/vicuna-7b-v1.3 and -13b-v1.3 and all before them: the first LLaMA
    "vicuna_7b_v1": replace(_VICUNA_7B, norm_eps=1e-6, max_length=2048),
    "vicuna_13b_v1": replace(_VICUNA_13B, norm_eps=1e-6, max_length=2048),
    # HuggingFaceTB/SmolLM2-135M-Instruct
    "smollm2_135m": LanguageConfig(
        vocab_size=49152,
        width=576,
        mlp_width=1536,
        depth=30,
        heads=9,
        kv_heads=3,
        rope_theta=100000.0,
        tied_head=True,
        max_length=8192,
    ),
    # Nobody's: small enough for tests
    "tiny_llama": LanguageConfig(
        vocab_size=512, width=64, mlp_width=160, depth=2, heads=4, kv_heads=2
    ),
}


def llava_config(model: config.Model) -> LlavaConfig:
    """The networks that a recipe names.

    Where the recipe's image size is not the tower's own, the tower's stored positions stay and
    are interpolated.

    Raises:
      UserError: an unknown name, or parts that do not fit together.
    """
    vision = _named(VISION, model.vision, "vision tower")
    if model.image_size:
        vision = replace(
            vision, image_size=model.image_size, positions=vision.positions or vision.grid
        )
    vision = replace(
        vision, feature_layers=model.feature_layers, feature_select=model.feature_select
    )
    return LlavaConfig(
        vision=vision,
        projector=ProjectorConfig(model.projector, model.merge),
        language=_named(LANGUAGE, model.language, "language model"),
    )


def _named(sizes: dict[str, _Size], name: str, what: str) -> _Size:
    if name not in sizes:
        raise UserError(f"unknown {what} {name!r}: choose one of {', '.join(sorted(sizes))}")
    return sizes[name]
