"""Tiny random models of transformers, and folders of them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
}
DECODER = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
}


def clip() -> CLIPVisionModel:
    torch.manual_seed(0)
    return CLIPVisionModel(CLIPVisionConfig(**TOWER)).eval()


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**DECODER | changes)).eval()


def llava() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    config = LlavaConfig(CLIPVisionConfig(**TOWER), LlamaConfig(**DECODER), image_token_index=95)
    return LlavaForConditionalGeneration(config).eval()


def save(model: Any, folder: Path, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    return folder


def edit_tensors(folder: Path, edit: Any) -> None:
    """Rewrites model.safetensors with what `edit` makes of its dict."""
    path = folder / "model.safetensors"
    save_file(edit(load_file(path)), path)


def edit_config(folder: Path, edit: Any) -> None:
    """Rewrites config.json with what `edit` makes of its dict."""
    path = folder / "config.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
