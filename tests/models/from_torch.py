"""Random models of transformers, and their weights as our parameters."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import torch

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
