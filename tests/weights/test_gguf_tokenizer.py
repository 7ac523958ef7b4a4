"""Tokenizers out of GGUF metadata against transformers and SentencePiece."""

import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer

from llava_jax.errors import UserError
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.gguf import load_tokenizer
from llava_jax.weights.gguf_tokenizer import build_tokenizer

TEXTS = [
    "Hello, world! How are you? I'm fine; they've 3 apples.",
    "x = y+1;\n\tif (a != b) {\n\t\treturn 12345;\n\t}\n\n\n",
    "Wie geht's? Größe, naïve façade, ÆØÅ. 你好 世界。 🙂👩‍👩‍👧 مرحبا",
    "  two leading spaces,   three inside, one at the end ",
    "<|im_start|>user\nWhat is left of the dog?<|im_end|>\n<|im_start|>assistant\n",
    "3.14159, 1,000,000 and 2024-01-31T12:59;",
    "ALLCAPS camelCase snake_case kebab-case a.b.c http://example.org/?q=1&r=%20",
    "'tis we'll I'd you're",
    "",
    " ",
    "\n",
]


@pytest.fixture(scope="module")
def smollm(pocket_language: Path) -> Tokenizer:
    return load_tokenizer(pocket_language)


@pytest.mark.slow
def test_smollm2_s_ids_are_those_of_transformers(smollm: Tokenizer, pocket_language: Path):
    folder, name = pocket_language.parent, pocket_language.name
    theirs = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    for text in TEXTS:
        ids = smollm.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False), text
        assert smollm.decode(ids, skip_special=False) == text
    assert smollm.eos_id == theirs.convert_tokens_to_ids("<|im_end|>")
    assert smollm.vocab_size == len(theirs)


def test_smollm2_cuts_digits_off_before_anything_else(smollm: Tokenizer):
    """transformers' GGUF reader leaves this step out: it would join " 1" in "  1", and " ½"."""
    space, spaces, one = (smollm.encode(text) for text in (" ", "  ", "1"))
    assert len(spaces) == 1
    assert smollm.encode("  1") == spaces + one
    assert smollm.encode(" ½") == space + smollm.encode("½")
    assert smollm.encode("111") == one * 3


def test_smollm2_begins_with_nothing_and_knows_its_marks(smollm: Tokenizer):
    assert smollm.bos_id is None
    ids = smollm.encode("<|im_start|>hi<|im_end|>")
    assert (ids[0], ids[-1]) == (1, smollm.eos_id)
    assert {1, smollm.eos_id, smollm.pad_id} <= smollm.special_ids
    assert smollm.decode(ids) == "hi"
    assert smollm.encode("<|im_start|>", special=False) != [1]


def byte_level(**changes: Any) -> dict[str, Any]:
    """Metadata of single bytes and a few merges."""
    merges = ["a b", "Ġ ab", "Ġ 1", "1 1", "11 1", "11 11"]
    tokens = ["<|end|>", *sorted(ByteLevel.alphabet()), *(m.replace(" ", "") for m in merges)]
    values = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": [3] + [1] * (len(tokens) - 1),
        "merges": merges,
        "eos_token_id": 0,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (values | changes).items()}


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["ab", "Ġab", "Ġ1"]),
        ("smollm", ["ab", "Ġab", "Ġ", "1"]),
        ("llama-bpe", ["ab", "Ġab", "Ġ", "1"]),
    ],
)
def test_pre_tokenizers_cut_numbers_their_own_way(pre: str, pieces: list[str]):
    values = byte_level(pre=pre)
    tokenizer = build_tokenizer(values, "it")
    tokens = values["tokenizer.ggml.tokens"]
    assert [tokens[i] for i in tokenizer.encode("ab ab 1")] == pieces
    longest = {"gpt-2": ["1111"], "smollm": ["1"] * 4, "llama-bpe": ["111", "1"]}
    assert [tokens[i] for i in tokenizer.encode("1111")] == longest[pre]
    assert tokenizer.decode(tokenizer.encode("ab é 🙂\n")) == "ab é 🙂\n"


def test_who_begins_with_bos():
    starts = {"bos_token_id": 5}
    assert build_tokenizer(byte_level(**starts), "it").bos_id is None
    assert build_tokenizer(byte_level(**starts, add_bos_token=True), "it").bos_id == 5
    assert build_tokenizer(byte_level(**starts, pre="llama-bpe"), "it").bos_id == 5


def test_user_defined_tokens_are_whole_but_stay_in_the_text():
    values = byte_level()
    values["tokenizer.ggml.tokens"].append("<box>")
    values["tokenizer.ggml.token_type"].append(4)
    tokenizer = build_tokenizer(values, "it")
    ids = tokenizer.encode("a<box>b")
    assert len(ids) == 3
    assert tokenizer.decode(ids) == "a<box>b"


def sentencepiece(processor: SentencePieceProcessor) -> dict[str, Any]:
    """The metadata that llama.cpp's converter writes for a SentencePiece model."""
    ids = range(processor.vocab_size())

    def kind(i: int) -> int:
        if processor.is_unknown(i):
            return 2
        return 3 if processor.is_control(i) else 6 if processor.is_byte(i) else 1

    values = {
        "model": "llama",
        "tokens": [processor.id_to_piece(i) for i in ids],
        "scores": [processor.get_score(i) for i in ids],
        "token_type": [kind(i) for i in ids],
        "bos_token_id": processor.bos_id(),
        "eos_token_id": processor.eos_id(),
        "unknown_token_id": processor.unk_id(),
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceProcessor:
    """A little SentencePiece BPE in the manner of LLaMA."""
    prefix = tmp_path_factory.mktemp("sp") / "model"
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS[:8] * 4),
        model_prefix=str(prefix),
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return SentencePieceProcessor(model_file=f"{prefix}.model")


def test_sentencepiece(trained: SentencePieceProcessor):
    tokenizer = build_tokenizer(sentencepiece(trained), "it")
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 0)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == trained.encode(text), text
        assert tokenizer.decode(ids) == text


def test_llama_s_own_vocabulary(shared_data: Path):
    folder = shared_data / "tokenizer"
    processor = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = build_tokenizer(sentencepiece(processor), "it")
    vectors = [json.loads(line) for line in (folder / "vectors.jsonl").open()]
    assert len(vectors) > 50
    for vector in vectors:
        assert tokenizer.encode(vector["text"], bos=True, special=False) == vector["ids"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "t5"}, "tokenizer 't5'"),
        ({"pre": "deepseek"}, "pre-tokenizer 'deepseek'"),
        ({"eos_token_id": None}, "no end-of-text token"),
    ],
)
def test_what_cannot_be_rebuilt_is_named(changes: dict[str, Any], named: str):
    with pytest.raises(UserError, match=f"it: .*{named}"):
        build_tokenizer(byte_level(**changes), "it")
