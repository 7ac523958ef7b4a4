"""A LLaVA as transformers 4 saves it; transformers 5 reads the same.

Configuration, processor and tokenizer are written by transformers' own classes, the tensors one at
a time by ours.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llava_jax.anyres import AnyRes
from llava_jax.errors import UserError
from llava_jax.models.language import LanguageConfig
from llava_jax.models.vision import VisionConfig
from llava_jax.text.jinja import chat_template
from llava_jax.text.templates import get_template
from llava_jax.weights.dialects import HUGGING_FACE
from llava_jax.weights.rules import as_theirs
from llava_jax.weights.safetensors_files import write_safetensors
from llava_jax.weights.shapes import llava_shapes
from llava_jax.weights.stored_llava import EMBEDDING, StoredLlava, pad_vocabulary, whole
from llava_jax.weights.tokenizers import copy_tokenizer

IMAGE_TOKEN, PAD_TOKEN = "<image>", "<pad>"
_ROUND = 64  # rows of the vocabulary come in multiples of it, as in llava-hf's checkpoints
_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def write_hf(
    llava: StoredLlava, folder: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Writes model, configurations, processor, chat templates and tokenizer into a folder.

    Without a tokenizer in the source the folder has neither tokenizer nor processor.

    Raises:
      UserError: transformers has no such model, or the tower is not whole.
    """
    _refuse(llava)
    tokenizer = None
    if llava.tokenizer is not None:
        copy_tokenizer(llava.tokenizer, folder)
        tokenizer = _tokenizer(folder)
    llava = with_image_token(llava, tokenizer)
    config = hf_config(llava, tokenizer)
    config.save_pretrained(folder)
    _write_generation_config(config, folder)
    if tokenizer is not None:
        _processor(llava, tokenizer).save_pretrained(folder)
    table = HUGGING_FACE.table(whole(llava.config))
    write_safetensors(folder, as_theirs(table, llava.tensors), progress=progress)


def _refuse(llava: StoredLlava) -> None:
    """What transformers' LLaVA cannot be."""
    config, reason = llava.config, ""
    if config.projector.kind != "mlp2x_gelu":
        reason = f"its projector is always mlp2x_gelu, this one is {config.projector.kind}"
    elif config.projector.merge != 1:
        reason = "it has no merged patches"
    elif config.anyres is not None and config.anyres.merge != "spatial_unpad":
        reason = f"it merges tiles by spatial_unpad, this one by {config.anyres.merge}"
    elif config.vision.post_norm or config.vision.layer_scale:
        reason = "it reads features of CLIP or SigLIP, without the final norm"
    elif missing := sorted(llava_shapes(whole(config)).keys() - llava.tensors.keys()):
        reason = f"it keeps the whole vision tower, and the source lacks {', '.join(missing[:3])}"
    if reason:
        raise UserError(
            f"transformers has no such LLaVA: {reason}. Use --format=original or --format=orbax"
        )


def with_image_token(llava: StoredLlava, tokenizer: Any = None) -> StoredLlava:
    """The same with an image and a pad token in its vocabulary, which is padded for them.

    Raises:
      UserError: the tokenizer has another image token than the checkpoint.
    """
    usage, rows = llava.usage, llava.config.language.vocab_size
    used = usage.vocabulary or rows
    if tokenizer is not None:
        tokens = [IMAGE_TOKEN] if usage.pad_token is not None else [IMAGE_TOKEN, PAD_TOKEN]
        tokenizer.add_tokens(_added(tokens), special_tokens=True)
        image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if usage.image_token not in (None, image):
            raise UserError(
                f"the checkpoint's image token is {usage.image_token}, its tokenizer's "
                f"{IMAGE_TOKEN} is {image}: give the right one with --tokenizer"
            )
        if usage.pad_token is None:
            tokenizer.pad_token = PAD_TOKEN
        pad = usage.pad_token if usage.pad_token is not None else tokenizer.pad_token_id
    else:
        image = used if usage.image_token is None else usage.image_token
        pad = image + 1 if usage.pad_token is None else usage.pad_token
    needed = max(rows, image + 1, pad + 1)
    wanted = rows if needed == rows else -(-needed // _ROUND) * _ROUND
    usage = dataclasses.replace(usage, image_token=image, pad_token=pad, vocabulary=used)
    return dataclasses.replace(pad_vocabulary(llava, wanted), usage=usage)


def _added(tokens: list[str]) -> list[Any]:
    from tokenizers import AddedToken

    return [AddedToken(token, special=True, normalized=False) for token in tokens]


def hf_config(llava: StoredLlava, tokenizer: Any = None) -> Any:
    """LlavaConfig of transformers, or LlavaNextConfig."""
    import transformers

    config, usage = llava.config, llava.usage
    dtype = str(llava.tensors[EMBEDDING].dtype)
    layers = config.vision.feature_layers
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    if tokenizer is not None:
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    kind, name, anyres = transformers.LlavaConfig, "LlavaForConditionalGeneration", {}
    if config.anyres is not None:
        kind, name = transformers.LlavaNextConfig, "LlavaNextForConditionalGeneration"
        anyres = {"image_grid_pinpoints": _pinpoints(config.anyres)}
    return kind(
        vision_config=hf_vision_config(config.vision),
        text_config=_text(config.language, ends | {"pad_token_id": usage.pad_token}),
        image_token_index=usage.image_token,
        pad_token_id=usage.pad_token,
        vision_feature_layer=layers[0] if len(layers) == 1 else list(layers),
        vision_feature_select_strategy=_strategy(config.vision),
        image_seq_length=config.image_tokens,
        projector_hidden_act="gelu",
        tie_word_embeddings=config.language.tied_head,
        torch_dtype=dtype,
        architectures=[name],
        unpadded_vocab_size=usage.vocabulary,
        **ends,
        **anyres,
    )


def _pinpoints(anyres: AnyRes) -> list[list[int]]:
    """(height, width) there."""
    return [[height, width] for width, height in anyres.pinpoints]


def _strategy(config: VisionConfig) -> str:
    return "default" if config.feature_select == "patch" else "full"


def hf_vision_config(config: VisionConfig) -> Any:
    """CLIPVisionConfig or SiglipVisionConfig of transformers."""
    import transformers

    of_clip = config.class_token
    kind = transformers.CLIPVisionConfig if of_clip else transformers.SiglipVisionConfig
    more = {} if of_clip else {"vision_use_head": False}
    return kind(
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_act=_ACTIVATIONS[config.activation],
        layer_norm_eps=config.norm_eps,
        **more,
    )


def _text(config: LanguageConfig, ends: dict[str, Any]) -> Any:
    import transformers

    return transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.size_of_head,
        max_position_embeddings=config.max_length,
        rms_norm_eps=config.norm_eps,
        rope_theta=config.rope_theta,
        rope_scaling=rope_scaling(config),
        tie_word_embeddings=config.tied_head,
        **ends,
    )


def rope_scaling(config: LanguageConfig) -> dict[str, Any] | None:
    """As `rope_scaling` of a LlamaConfig says it."""
    scaling = config.rope_scaling
    if scaling is None:
        return None
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.original_length,
    }


def _write_generation_config(config: Any, folder: Path) -> None:
    import transformers

    keys = ("bos_token_id", "eos_token_id")
    values = {key: getattr(config.text_config, key) for key in keys}
    values["pad_token_id"] = config.pad_token_id
    # Not through the model class, which needs torch.
    transformers.GenerationConfig(**values).save_pretrained(folder)


def _tokenizer(folder: Path) -> Any:
    import transformers

    path = folder / "tokenizer_config.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    llama = stored.get("tokenizer_class", "LlamaTokenizer").startswith("LlamaTokenizer")
    kind = transformers.LlamaTokenizerFast if llama else transformers.PreTrainedTokenizerFast
    try:
        return kind.from_pretrained(folder)
    except Exception as error:
        raise UserError(f"transformers cannot read the tokenizer in {folder}: {error}") from error


def _processor(llava: StoredLlava, tokenizer: Any) -> Any:
    import transformers

    template = get_template(llava.usage.template)
    wrapped = dataclasses.replace(template, image_wrap=llava.usage.image_wrap)
    anyres = llava.config.anyres
    kind = transformers.LlavaProcessor if anyres is None else transformers.LlavaNextProcessor
    return kind(
        image_processor=hf_image_processor(llava.config.vision, llava.usage.image_mode, anyres),
        tokenizer=tokenizer,
        patch_size=llava.config.vision.patch_size,
        vision_feature_select_strategy=_strategy(llava.config.vision),
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=int(llava.config.vision.class_token),
        chat_template={
            "default": chat_template(wrapped),
            "llava_hf": chat_template(get_template("hf_llava_1_5")),
        },
    )


def hf_image_processor(config: VisionConfig, mode: str, anyres: AnyRes | None = None) -> Any:
    """The image processor of transformers that does as our image mode."""
    import transformers

    size = config.image_size
    options = {
        "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size},
        "image_mean": list(config.mean),
        "image_std": list(config.std),
        "resample": 3,  # bicubic
    }
    if anyres is not None:
        pinpoints = _pinpoints(anyres)
        return transformers.LlavaNextImageProcessor(image_grid_pinpoints=pinpoints, **options)
    if mode == "pad":
        return transformers.LlavaImageProcessor(do_pad=True, **options)
    return transformers.CLIPImageProcessor(**options)
