"""A LLaVA in the layout of the original code (github.com/haotian-liu/LLaVA)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.weights.dialects import ORIGINAL, vision_table
from llava_jax.weights.hf_export import hf_image_processor, hf_vision_config, rope_scaling
from llava_jax.weights.rules import as_theirs
from llava_jax.weights.safetensors_files import write_safetensors
from llava_jax.weights.shapes import llava_shapes
from llava_jax.weights.stored_llava import (
    EMBEDDING,
    StoredLlava,
    cut_vocabulary,
    whole,
    whole_tower,
)
from llava_jax.weights.tokenizers import copy_tokenizer

TOWER_FOLDER = "vision_tower"


def write_original(
    llava: StoredLlava, folder: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Writes model, configuration and tokenizer into a folder.

    The original takes its tower's configuration from the repository that `mm_vision_tower` names.
    Where the source names one, the tower's weights stand in the checkpoint, as tuned ones do there;
    otherwise the whole tower is a folder of its own, `vision_tower`.

    Raises:
      UserError: the original has no such model.
    """
    if llava.config.projector.merge != 1 or llava.config.vision.layer_scale:
        raise UserError(
            "the original LLaVA has no merged patches and no DINOv2 tower: use --format=orbax"
        )
    if 0 < llava.usage.vocabulary < llava.config.language.vocab_size:
        llava = cut_vocabulary(llava, llava.usage.vocabulary)
    everything = whole(llava.config)
    complete = llava_shapes(everything).keys() <= llava.tensors.keys()
    table = ORIGINAL.table(everything if complete else llava.config)
    tensors = as_theirs(table, llava.tensors)
    tower = llava.usage.tower
    if not _on_hub(tower):
        tower = TOWER_FOLDER
        _write_tower(llava, folder / tower)
        tensors = {k: v for k, v in tensors.items() if not k.startswith(ORIGINAL.vision)}
    write_safetensors(folder, tensors, progress=progress)
    config = original_config(llava) | {"mm_vision_tower": tower}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if llava.tokenizer is not None:
        copy_tokenizer(llava.tokenizer, folder)


def _on_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def _write_tower(llava: StoredLlava, folder: Path) -> None:
    """A CLIPVisionModel (or SigLIP's) that transformers loads."""
    folder.mkdir()
    tower = whole_tower(llava.config.vision)
    kind = "CLIPVisionModel" if tower.class_token else "SiglipVisionModel"
    config = hf_vision_config(tower)
    config.architectures = [kind]
    config.save_pretrained(folder)
    hf_image_processor(llava.config.vision, "crop").save_pretrained(folder)
    table = vision_table(tower).under("vision/", "vision_model.")
    write_safetensors(folder, as_theirs(table, llava.tensors))


def original_config(llava: StoredLlava) -> dict[str, Any]:
    """config.json of LlavaLlamaForCausalLM."""
    config, usage = llava.config, llava.usage
    language, vision = config.language, config.vision
    layers = vision.feature_layers
    values: dict[str, Any] = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "vocab_size": language.vocab_size,
        "hidden_size": language.width,
        "intermediate_size": language.mlp_width,
        "num_hidden_layers": language.depth,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.kv_heads,
        "head_dim": language.size_of_head,
        "max_position_embeddings": language.max_length,
        "rms_norm_eps": language.norm_eps,
        "rope_theta": language.rope_theta,
        "rope_scaling": rope_scaling(language),
        "tie_word_embeddings": language.tied_head,
        "hidden_act": "silu",
        "torch_dtype": str(llava.tensors[EMBEDDING].dtype),
        "image_aspect_ratio": usage.image_mode if usage.image_mode == "pad" else "square",
        "mm_hidden_size": vision.feature_width,
        "mm_projector_type": config.projector.kind,
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": any(usage.image_wrap),
        "mm_vision_select_feature": "patch" if vision.feature_select == "patch" else "cls_patch",
        "mm_vision_select_layer": layers[0] if len(layers) == 1 else list(layers),
        "use_mm_proj": True,
    }
    if usage.image_token is not None and language.vocab_size > usage.image_token:
        # The original knows no such key; it lets a way back find the token it went out with.
        values |= {"image_token_index": usage.image_token, "pad_token_id": usage.pad_token}
    if config.anyres is not None:
        values |= {
            "image_aspect_ratio": "anyres",
            "image_grid_pinpoints": [list(pinpoint) for pinpoint in config.anyres.pinpoints],
            "mm_patch_merge_type": config.anyres.merge,
        }
    return values
