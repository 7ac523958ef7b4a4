"""config.json of Hugging Face -> our configurations.

Such a file leaves out whatever equals its class's default, so the defaults of transformers are
part of the format; they are written down here and compared with transformers in the tests.
"""

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from llava_jax.anyres import AnyRes, Merge, Size
from llava_jax.errors import UserError
from llava_jax.models.attention import RopeScaling
from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.vision import CLIP_MEAN, CLIP_STD, VisionConfig

Json = dict[str, Any]

CLIP_DEFAULTS: Json = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
SIGLIP_DEFAULTS: Json = CLIP_DEFAULTS | {
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
DINOV2_DEFAULTS: Json = {
    "hidden_size": 768,
    "mlp_ratio": 4,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
}
LLAMA_DEFAULTS: Json = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
}
LLAVA_DEFAULTS: Json = {
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "projector_hidden_act": "gelu",
    "multimodal_projector_bias": True,
}
LLAVA_NEXT_DEFAULTS: Json = LLAVA_DEFAULTS | {
    "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
}
LLAVA_TOWER: Json = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
"""What LlavaConfig and LlavaNextConfig take for a vision_config that is absent altogether."""

_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)


def read_json(path: Path) -> Json:
    """The object in a JSON file.

    Raises:
      UserError where there is none, or it is no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}: is it a checkpoint folder?") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} should hold a JSON object, it holds a {type(value).__name__}")
    return value


def _require(values: Json, expected: Json, what: str) -> None:
    for key, value in expected.items():
        if values[key] != value:
            raise UserError(f"{what}: {key}={values[key]!r} is not supported, only {value!r} is")


def _with_defaults(raw: Json, defaults: Json) -> Json:
    """null counts as absent."""
    return defaults | {key: value for key, value in raw.items() if value is not None}


def _normalisation(processor: Json, mean: tuple, std: tuple) -> Json:
    """Mean and standard deviation of the image processor's file, else its class's."""
    processor = processor.get("image_processor", processor)
    return {
        "mean": tuple(processor.get("image_mean") or mean),
        "std": tuple(processor.get("image_std") or std),
    }


def _activation(name: str) -> str:
    if name not in _ACTIVATIONS:
        raise UserError(f"vision tower: hidden_act {name!r} is none of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _dinov2_config(raw: Json, processor: Json) -> VisionConfig:
    values = _with_defaults(raw, DINOV2_DEFAULTS)
    _require(values, {"qkv_bias": True, "use_swiglu_ffn": False, "num_channels": 3}, "DINOv2")
    return VisionConfig(
        width=values["hidden_size"],
        mlp_width=int(values["hidden_size"] * values["mlp_ratio"]),
        depth=values["num_hidden_layers"],
        heads=values["num_attention_heads"],
        image_size=values["image_size"],
        patch_size=values["patch_size"],
        activation=_activation(values["hidden_act"]),
        norm_eps=values["layer_norm_eps"],
        patch_bias=True,
        pre_norm=False,
        post_norm=True,
        layer_scale=True,
        positions=values["image_size"] // values["patch_size"],
        feature_layers=(-1,),
        **_normalisation(processor, IMAGENET_MEAN, IMAGENET_STD),
    )


def vision_config(raw: Json, processor: Json) -> VisionConfig:
    """A tower's config.json (CLIP and SigLIP also with their text half) -> VisionConfig.

    The selected feature is LLaVA's (-2, no final norm), for DINOv2 its own output (-1, normed).

    Args:
      processor: preprocessor_config.json, {} where there is none.
    """
    kind = raw.get("model_type")
    if kind in ("clip", "siglip"):
        kind, raw = f"{kind}_vision_model", raw.get("vision_config") or {}
    if kind == "dinov2":
        return _dinov2_config(raw, processor)
    if kind not in ("clip_vision_model", "siglip_vision_model"):
        raise UserError(f"vision towers are CLIP, SigLIP or DINOv2; model_type is {kind!r}")
    clip = kind == "clip_vision_model"
    values = _with_defaults(raw, CLIP_DEFAULTS if clip else SIGLIP_DEFAULTS)
    _require(values, {"num_channels": 3}, "vision tower")
    return VisionConfig(
        width=values["hidden_size"],
        mlp_width=values["intermediate_size"],
        depth=values["num_hidden_layers"],
        heads=values["num_attention_heads"],
        image_size=values["image_size"],
        patch_size=values["patch_size"],
        activation=_activation(values["hidden_act"]),
        norm_eps=values["layer_norm_eps"],
        class_token=clip,
        patch_bias=not clip,
        pre_norm=clip,
        **_normalisation(processor, *((CLIP_MEAN, CLIP_STD) if clip else (_HALF, _HALF))),
    )


def _rope(raw: Json) -> tuple[float, RopeScaling | None]:
    """Base and scaling; transformers 5 keeps both in `rope_parameters`."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    theta = float(raw.get("rope_theta") or rope.get("rope_theta") or LLAMA_DEFAULTS["rope_theta"])
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise UserError(f"language model: rope type {kind!r} is not supported, only 'llama3' is")
    return theta, RopeScaling(
        factor=rope["factor"],
        low_freq_factor=rope["low_freq_factor"],
        high_freq_factor=rope["high_freq_factor"],
        original_length=rope["original_max_position_embeddings"],
    )


def language_config(raw: Json) -> LanguageConfig:
    """config.json of LlamaForCausalLM (Vicuna, Llama, SmolLM2) -> LanguageConfig."""
    kind = raw.get("model_type", "llama")
    if kind not in ("llama", "llava_llama", "llava"):
        raise UserError(f"language models are of the Llama architecture; model_type is {kind!r}")
    values = _with_defaults(raw, LLAMA_DEFAULTS)
    plain = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
    _require(values, plain, "language model")
    theta, scaling = _rope(raw)
    heads, width = values["num_attention_heads"], values["hidden_size"]
    head_dim = values.get("head_dim", width // heads)
    return LanguageConfig(
        vocab_size=values["vocab_size"],
        width=width,
        mlp_width=values["intermediate_size"],
        depth=values["num_hidden_layers"],
        heads=heads,
        kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=None if head_dim * heads == width else head_dim,
        rope_theta=theta,
        rope_scaling=scaling,
        norm_eps=values["rms_norm_eps"],
        tied_head=values["tie_word_embeddings"],
        max_length=values["max_position_embeddings"],
    )


def _feature(layers: int | list[int], select: str) -> Json:
    layers = [layers] if isinstance(layers, int) else layers
    names = {"default": "patch", "patch": "patch", "full": "full", "cls_patch": "full"}
    if select not in names:
        raise UserError(f"vision feature selection {select!r} is none of {', '.join(names)}")
    return {"feature_layers": tuple(layers), "feature_select": names[select]}


def _pinpoints(stored: Any) -> tuple[Size, ...]:
    """Pairs of a list, or of its text, as the original's flags leave it."""
    try:
        pairs = ast.literal_eval(stored) if isinstance(stored, str) else stored
        pinpoints = tuple((int(a), int(b)) for a, b in pairs)
    except (ValueError, TypeError, SyntaxError):
        pinpoints = ()
    if not pinpoints:
        raise UserError(
            f"image_grid_pinpoints {stored!r} is not supported: give a list of sizes in pixels, "
            "like [[336, 672], [672, 336]]"
        )
    return pinpoints


def llava_config(raw: Json, processor: Json) -> LlavaConfig:
    """config.json of LlavaForConditionalGeneration or LlavaNext's -> LlavaConfig."""
    tiled = raw.get("model_type") == "llava_next"
    values = _with_defaults(raw, LLAVA_NEXT_DEFAULTS if tiled else LLAVA_DEFAULTS)
    wanted = {"projector_hidden_act": "gelu", "multimodal_projector_bias": True}
    _require(values, wanted, "projector")
    tower = dict(raw.get("vision_config") or LLAVA_TOWER)
    vision = vision_config({"model_type": "clip_vision_model"} | tower, processor)
    language = language_config(raw.get("text_config") or {})
    choice = _feature(values["vision_feature_layer"], values["vision_feature_select_strategy"])
    anyres = None
    if tiled:  # (height, width) here; there is no other merge
        anyres = AnyRes(tuple((w, h) for h, w in _pinpoints(values["image_grid_pinpoints"])))
    return LlavaConfig(replace(vision, **choice), ProjectorConfig(), language, anyres)


def _original_anyres(raw: Json) -> AnyRes | None:
    """(width, height), as AnyRes has them."""
    aspect = raw.get("image_aspect_ratio") or "square"
    if not aspect.startswith("anyres"):
        return None
    if aspect != "anyres":
        raise UserError(f"image_aspect_ratio {aspect!r} is not supported, only 'anyres' is")
    merge: Any = raw.get("mm_patch_merge_type") or "flat"
    if merge not in get_args(Merge):
        known = ", ".join(get_args(Merge))
        raise UserError(f"mm_patch_merge_type {merge!r} is not supported, only {known} are")
    return AnyRes(_pinpoints(raw.get("image_grid_pinpoints")), merge)


def original_config(raw: Json, tower: Json, processor: Json) -> LlavaConfig:
    """config.json of an original LLaVA and that of its vision tower -> LlavaConfig."""
    if "mm_vision_select_layer" not in raw:
        raise UserError("config.json of an original LLaVA needs mm_vision_select_layer")
    select = raw.get("mm_vision_select_feature") or "patch"
    choice = _feature(raw["mm_vision_select_layer"], select)
    projector = ProjectorConfig(raw.get("mm_projector_type") or "linear")
    vision = replace(vision_config(tower, processor), **choice)
    return LlavaConfig(vision, projector, language_config(raw), _original_anyres(raw))
