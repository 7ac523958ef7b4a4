"""A tiny LLaVA folder as llava-hf's are: model, processor, tokenizer, padded vocabulary."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from rich.console import Console

from tests.models.from_torch import randomized
from tests.text.conftest import tiny_backend  # noqa: F401  (a fixture)
from tests.weights.tiny import DECODER, TOWER


@pytest.fixture
def console() -> Iterator[Console]:
    """What a conversion prints; `console.export_text()` gives it."""
    with Path("/dev/null").open("w") as nowhere:
        yield Console(file=nowhere, record=True, width=200)


@pytest.fixture(scope="session")
def fast_tokenizer(
    tiny_backend: tokenizers.Tokenizer,  # noqa: F811
) -> transformers.PreTrainedTokenizerFast:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(tiny_backend.to_str()),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.add_tokens(
        [tokenizers.AddedToken("<image>", special=True, normalized=False)], special_tokens=True
    )
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    return tokenizer


@pytest.fixture(scope="session")
def hf_folder(
    fast_tokenizer: transformers.PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """As transformers writes it."""
    folder = tmp_path_factory.mktemp("llava_hf")
    image, pad = fast_tokenizer.convert_tokens_to_ids(["<image>", "<pad>"])
    config = transformers.LlavaConfig(
        transformers.CLIPVisionConfig(**TOWER),
        transformers.LlamaConfig(**DECODER | {"vocab_size": -(-len(fast_tokenizer) // 64) * 64}),
        image_token_index=image,
        pad_token_id=pad,
        image_seq_length=(TOWER["image_size"] // TOWER["patch_size"]) ** 2,
    )
    torch.manual_seed(0)
    model = randomized(transformers.LlavaForConditionalGeneration(config))
    model.save_pretrained(folder)
    size = TOWER["image_size"]
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        ),
        fast_tokenizer,
        patch_size=TOWER["patch_size"],
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder
