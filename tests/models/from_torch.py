"""Random models of transformers, and their weights as our parameters."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import torch
from transformers import CLIPVisionConfig, LlamaConfig

from llava_jax import partition
from llava_jax.weights import rules
from llava_jax.weights.stored import StoredTensor

torch.set_num_threads(1)


def randomized(model: torch.nn.Module, seed: int = 0) -> Any:
    """Weights so far from their usual start that a wrong constant or order shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 1:
            weight.data = 0.3 * noise + (1.0 if name.endswith(("weight", "lambda1")) else 0.0)
        else:
            fan_in = weight[0].numel()
            weight.data = noise * (0.5 if "embed" in name else 1.2 * fan_in**-0.5)
    return model.eval()


def parameters(
    tensors: Mapping[str, torch.Tensor], table: rules.Table, scan_layers: bool = False
) -> dict[str, Any]:
    """A model's tensors (weights, or their gradients) under our names."""
    arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    source = {
        name: StoredTensor(array.shape, array.dtype, lambda array=array: array)
        for name, array in arrays.items()
    }
    leaves = rules.read(rules.as_ours(table, source), scan_layers=scan_layers)
    return partition.unflatten({path: jnp.asarray(leaf) for path, leaf in leaves})


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What `backward` left with each weight, by the weight's name."""
    return {name: w.grad for name, w in model.named_parameters() if w.grad is not None}


def tiny_configs() -> tuple[CLIPVisionConfig, LlamaConfig]:
    """A tower of 16 patches and a decoder of 96 tokens."""
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
    )
    text = LlamaConfig(
        vocab_size=96,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
    )
    return vision, text
