"""Made data: a tokenizer of letters, small images, and records on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from PIL import Image

from llava_jax.data.records import LlavaJson
from llava_jax.data.samples import ConversationEncoder
from llava_jax.text.templates import get_template
from llava_jax.text.tokenizer import Tokenizer

IMAGE_TOKENS = 4


@pytest.fixture(scope="session")
def letters() -> Tokenizer:
    """One token a letter; 0 is pad, 1 the end of text."""
    signs = ["<unk>", "</s>", *map(chr, range(32, 127)), "\n"]
    vocabulary = {sign: number for number, sign in enumerate(signs)}
    model = tokenizers.models.BPE(vocabulary, [], unk_token="<unk>")
    backend = tokenizers.Tokenizer(model)
    backend.decoder = tokenizers.decoders.Fuse()
    return Tokenizer.from_backend(backend, bos_id=None, eos_id=1, pad_id=0)


@pytest.fixture
def encoder(letters) -> Callable[..., ConversationEncoder]:
    def make(template: str = "plain", max_length: int = 64) -> ConversationEncoder:
        return ConversationEncoder(get_template(template), letters, IMAGE_TOKENS, max_length)

    return make


@pytest.fixture
def caption() -> Callable[..., dict[str, Any]]:
    """A record with one image and a caption."""

    def make(identity: Any, image: Any, text: str) -> dict[str, Any]:
        turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": text}]
        return {"id": identity, "image": image, "conversations": turns}

    return make


@pytest.fixture
def write(tmp_path) -> Callable[..., LlavaJson]:
    """Writes records, and each image they name that does not start with "missing"."""

    def write_records(records: list[dict], name: str = "data.json") -> LlavaJson:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for record in records:
            named = record.get("image") or []
            for image in [named] if isinstance(named, str) else named:
                path = folder / image
                if not image.startswith("missing") and not path.exists():
                    number = int("".join(c for c in path.stem if c.isdigit()) or 0)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (12, 9), (number % 256, 100, 50)).save(path)
        (tmp_path / name).write_text(json.dumps(records))
        return LlavaJson(tmp_path / name, folder)

    return write_records


@pytest.fixture
def captions(write, caption) -> Callable[..., LlavaJson]:
    """A source of captions of growing length, record i about image i of colour (i, 100, 50)."""

    def make(count: int, name: str = "data", longest: int = 30) -> LlavaJson:
        records = [
            caption(f"{name}-{i}", f"{name}{i}.png", "abc"[i % 3] * (1 + i % longest))
            for i in range(count)
        ]
        return write(records, f"{name}.json")

    return make


@pytest.fixture
def image_folder(tmp_path) -> Path:
    return tmp_path / "images"
