"""Tokenizers for the text tests: a tiny trained one that always exists, and LLaMA's where it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from llava_jax.text.tokenizer import Tokenizer

TINY_CORPUS = [
    "A chat between a curious user and an artificial intelligence assistant.",
    "USER: What color is the bus? ASSISTANT: The bus is red.",
    "system user assistant image detailed helpful polite",
]


@pytest.fixture(scope="session")
def tiny_backend() -> tokenizers.Tokenizer:
    """Byte-level BPE with "<unk>", "<s>", "</s>" and ChatML's tokens; it puts no bos."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TINY_CORPUS, trainer)
    return backend


@pytest.fixture(scope="session")
def tiny(tiny_backend: tokenizers.Tokenizer) -> Tokenizer:
    """The tiny tokenizer with a bos token, as LLaMA's has."""
    return Tokenizer.from_backend(tiny_backend, bos_id=1, eos_id=2, pad_id=0)


@pytest.fixture(scope="session")
def llama_folder(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bool], Path]:
    """A folder with LLaMA's tokenizer whose configuration says `legacy` true or false."""

    def folder(legacy: bool) -> Path:
        target = tmp_path_factory.mktemp("llama")
        for name in ("tokenizer.json", "tokenizer.model", "special_tokens_map.json"):
            shutil.copyfile(shared_data / "tokenizer" / name, target / name)
        config = json.loads((shared_data / "tokenizer" / "tokenizer_config.json").read_text())
        (target / "tokenizer_config.json").write_text(json.dumps(config | {"legacy": legacy}))
        return target

    return folder


@pytest.fixture(scope="session")
def llama(llama_folder: Callable[[bool], Path]) -> dict[bool, Tokenizer]:
    """LLaMA's tokenizer by its `legacy` flag."""
    return {legacy: Tokenizer.from_folder(llama_folder(legacy)) for legacy in (True, False)}


@pytest.fixture(scope="session")
def golden_tokenizer(
    golden_dir: Path, llama: dict[bool, Tokenizer]
) -> Callable[[str, bool], Tokenizer]:
    """The tokenizer that a golden record names, with start and end tokens where it says so."""
    byte_level = Tokenizer.from_folder(golden_dir / "tokenizer_bytelevel_tiny")
    chatml = ["<|im_start|>", "<|im_end|>"]
    known = {
        ("bytelevel_tiny", False): byte_level,
        ("llama_legacy", False): llama[True],
        ("llama_nonlegacy", False): llama[False],
        ("llama_chatml_legacy", False): llama[True].with_added(chatml),
        ("llama_chatml_nonlegacy", False): llama[False].with_added(chatml),
        ("llama_legacy", True): llama[True].with_added(["<im_start>", "<im_end>"]),
        ("llama_nonlegacy", True): llama[False].with_added(["<im_start>", "<im_end>"]),
    }
    return lambda name, start_end: known[name, start_end]
