"""A tiny random LLaVA, its byte-level tokenizer, and pictures to ask about."""

from dataclasses import replace
from typing import Any

import numpy as np
import tokenizers
from PIL import Image
from tokenizers import decoders, models, pre_tokenizers

from llava_jax import partition
from llava_jax.anyres import AnyRes
from llava_jax.inference.engine import Engine
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, abstract_params
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.sizes import LANGUAGE, VISION
from llava_jax.text.tokenizer import Tokenizer

IMAGE_TOKENS = 4
CONFIG = LlavaConfig(
    replace(VISION["tiny_clip"], depth=2),
    ProjectorConfig("mlp2x_gelu", merge=2),
    replace(LANGUAGE["tiny_llama"], vocab_size=262, max_length=256),
)
EXACT = Compute()
TILES = replace(CONFIG, anyres=AnyRes(((112, 56), (112, 112), (56, 168))))


def tokenizer() -> Tokenizer:
    """One token a byte, so that most characters of the world are made of several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>", "<s>", "</s>", "<pad>"])
    ids = {name: backend.token_to_id(name) for name in ("</s>", "<pad>")}
    return Tokenizer.from_backend(backend, bos_id=None, eos_id=ids["</s>"], pad_id=ids["<pad>"])


def random_params(config: LlavaConfig, compute: Compute, seed: int = 0) -> dict[str, Any]:
    """Weights far enough from zero that answers depend on every word and patch."""
    rng = np.random.default_rng(seed)

    def drawn(path: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = rng.standard_normal(shape, np.float32)
        if path.endswith("scale"):
            return 1 + 0.3 * noise
        if path.endswith("kernel"):
            return 1.2 * noise * shape[-2] ** -0.5
        return 0.5 * noise

    leaves = partition.flatten(abstract_params(Llava(config, compute)))
    return partition.unflatten({path: drawn(path, leaf.shape) for path, leaf in leaves.items()})


def engine(
    template: str = "chatml",
    config: LlavaConfig = CONFIG,
    compute: Compute = EXACT,
    **options: Any,
) -> Engine:
    params = random_params(config, compute)
    return Engine(config, params, compute, tokenizer(), template, "pad", **options)


def picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)
