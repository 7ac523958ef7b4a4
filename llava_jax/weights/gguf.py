"""GGUF files of the `llama` architecture: what llama.cpp and its kin share models in.

Whatever the `gguf` package can dequantise is read, as float32; the layout of names and metadata is
the one in its `constants.py` (github.com/ggml-org/llama.cpp, gguf-py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from llava_jax.errors import UserError
from llava_jax.models.attention import RopeScaling, rotary_frequencies
from llava_jax.models.language import LanguageConfig
from llava_jax.partition import unflatten
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.dialects import gguf_table
from llava_jax.weights.gguf_tokenizer import build_tokenizer
from llava_jax.weights.rules import as_ours, check, read
from llava_jax.weights.shapes import language_shapes
from llava_jax.weights.stored import StoredTensor

# A mark in the file's chat template -> ours; the first one found counts.
_TEMPLATES = {"named SmolLM, trained by Hugging Face": "smollm2", "<|im_start|>": "chatml"}


@dataclass(frozen=True)
class _File:
    """metadata: the key-value pairs, those of the tokenizer too. Tensors are not read yet."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]


def _open(path: Path | str) -> _File:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing")
    return _parse(path, path.stat().st_mtime_ns)


# Parsing takes seconds, because of the vocabulary: the weights and the tokenizer share it.
@lru_cache(maxsize=1)
def _parse(path: Path, _modified: int) -> _File:
    try:
        reader = gguf.GGUFReader(path)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
    except (OSError, ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is truncated, damaged or no GGUF file; fetch it again ({error})"
        ) from error
    tensors = {
        tensor.name: StoredTensor(
            tuple(int(n) for n in reversed(tensor.shape)), np.dtype(np.float32), _reader(tensor)
        )
        for tensor in reader.tensors
    }
    return _File(path, metadata, tensors)


def _reader(tensor: gguf.ReaderTensor) -> Callable[[], np.ndarray]:
    def dequantised() -> np.ndarray:
        try:
            return gguf.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            kind = tensor.tensor_type.name
            raise UserError(
                f"{tensor.name} is quantised as {kind}, which cannot be read: take another file"
            ) from None

    return dequantised


def _language_config(file: _File) -> LanguageConfig:
    architecture = file.metadata.get("general.architecture")
    if architecture != "llama":
        raise UserError(f"{file.path}: architecture {architecture!r} is not supported, 'llama' is")

    def value(key: str, default: Any = None) -> Any:
        found = file.metadata.get(f"llama.{key}", default)
        if found is None:
            raise UserError(f"{file.path} lacks the metadata llama.{key}")
        return found

    def only(key: str, expected: Any) -> None:
        found = value(key, expected)
        if found != expected:
            raise UserError(f"{file.path}: llama.{key}={found} is not supported, {expected} is")

    heads, width = value("attention.head_count"), value("embedding_length")
    head_dim = value("attention.key_length", width // heads)
    kv_heads = value("attention.head_count_kv", heads)
    if not isinstance(kv_heads, int):
        raise UserError(f"{file.path}: a different number of key heads in each layer")
    only("rope.dimension_count", head_dim)
    only("rope.scaling.type", "none")
    only("expert_count", 0)
    if "token_embd.weight" not in file.tensors:
        raise UserError(f"{file.path} lacks the tensor token_embd.weight")
    theta = float(value("rope.freq_base", 10000.0))
    return LanguageConfig(
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        width=width,
        mlp_width=value("feed_forward_length"),
        depth=value("block_count"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=None if head_dim * heads == width else head_dim,
        rope_theta=theta,
        rope_scaling=_rope_scaling(file, head_dim, theta),
        # Stored as float32: 1e-5 comes back as 9.999999747378752e-06.
        norm_eps=float(str(np.float32(value("attention.layer_norm_rms_epsilon")))),
        tied_head="output.weight" not in file.tensors,
        max_length=value("context_length"),
    )


def _rope_scaling(file: _File, head_dim: int, theta: float) -> RopeScaling | None:
    """Llama 3's scaling, of which the file keeps only what each frequency is divided by."""
    if "rope_freqs.weight" not in file.tensors:
        return None
    divisors = file.tensors["rope_freqs.weight"].read()
    # Every Llama 3.x was stretched from 8192 tokens with these bounds; only the factor differs.
    scaling = RopeScaling(float(divisors.max()), 1.0, 4.0, 8192)
    expected = rotary_frequencies(head_dim, theta, None) / rotary_frequencies(
        head_dim, theta, scaling
    )
    if divisors.shape != expected.shape or not np.allclose(divisors, expected, rtol=1e-4):
        raise UserError(f"{file.path}: rope_freqs.weight is not the scaling of a Llama 3")
    return scaling


def open_language(path: Path | str) -> tuple[LanguageConfig, dict[str, StoredTensor]]:
    """A language model's configuration and tensors, by our paths below `language/`, float32.

    Rotary pairs are reordered from llama.cpp's neighbours to halves.

    Raises:
      UserError where the file is missing, damaged or of another architecture; it names tensors
      that are missing, unknown or misshapen.
    """
    file = _open(path)
    config = _language_config(file)
    table = gguf_table(config)
    check(table, language_shapes(config), file.tensors, str(path))
    return config, as_ours(table, file.tensors)


def load(
    path: Path | str, *, scan_layers: bool = False, dtype: Any = np.float32
) -> tuple[LanguageConfig, dict[str, Any]]:
    """Reads what `open_language` opens: the configuration and the parameters, numpy arrays.

    Args:
      scan_layers: whether layers come stacked on axis 0.
      dtype: what the dequantised float32 is converted to.
    """
    config, tensors = open_language(path)
    return config, unflatten(dict(read(tensors, scan_layers=scan_layers, dtype=dtype)))


def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer in the file; its bos_id is None where the model was trained without one."""
    return build_tokenizer(_open(path).metadata, str(path))


def template_name(path: Path | str) -> str | None:
    """Which of `text.templates` the file's chat template is; None where it is none of them."""
    source = _open(path).metadata.get("tokenizer.chat_template", "")
    return next((name for mark, name in _TEMPLATES.items() if mark in source), None)
