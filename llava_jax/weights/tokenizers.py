"""Where a checkpoint's tokenizer lies: in a folder of Hugging Face's files, or in a GGUF file."""

import shutil
from pathlib import Path

from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights import gguf

_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def tokenizer_in(folder: Path) -> Path | None:
    """The folder, if it holds a tokenizer."""
    return folder if any((folder / name).exists() for name in _FILES[:2]) else None


def read_tokenizer(place: Path) -> Tokenizer:
    """The tokenizer of a folder or of a GGUF file."""
    return gguf.load_tokenizer(place) if place.is_file() else Tokenizer.from_folder(place)


def copy_tokenizer(place: Path, folder: Path) -> None:
    """Puts a tokenizer's files into a folder: as they are, or made from a GGUF file."""
    if place.is_file():
        read_tokenizer(place).save(folder)
        return
    for name in _FILES:
        if (place / name).exists():
            shutil.copyfile(place / name, folder / name)
