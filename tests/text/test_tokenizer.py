import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_jax.errors import UserError
from llava_jax.text.tokenizer import StreamDecoder, Tokenizer

SPECIALS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
WORDS = [" ", "  ", "\n", "the bus", "USER:", "图中", "👩‍👩‍👧‍👦", "</", "s>", "▁"]
MIXED = st.lists(st.sampled_from([*SPECIALS, *WORDS]) | st.text(max_size=4), max_size=8)
UNICODE = "It feels joyful 🎉🥳, à la crème brûlée, 图中有一只猫坐在红色的沙发上。 👩‍👩‍👧‍👦!"


# LLaMA's vocabulary


def test_llama_vectors(shared_data: Path, llama: dict[bool, Tokenizer]):
    lines = (shared_data / "tokenizer" / "vectors.jsonl").read_text().splitlines()
    assert lines
    for record in map(json.loads, lines):
        text, ids = record["text"], record["ids"]
        assert llama[True].encode(text, bos=True) == ids
        assert llama[False].encode(text, bos=True) == ids
        inner, _ = llama[False].encode_pieces([(text, True)], begins=False)
        assert inner == record["ids_no_bos_no_prefix"]
        assert llama[True].decode(ids) == text.replace("▁", " ")


def test_llama_facts(llama: dict[bool, Tokenizer]):
    for tokenizer in llama.values():
        assert tokenizer.vocab_size == 32000
        assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 0)
        assert tokenizer.special_ids == {0, 1, 2}
        assert tokenizer.encode(" grabbed") == [29871, 2646, 1327, 287]
    assert llama[True].encode("hi</s>USER: x") == [7251, 2, 3148, 1001, 29901, 921]
    assert llama[False].encode("hi</s>USER: x") == [7251, 2, 11889, 29901, 921]


@pytest.mark.parametrize("legacy", [True, False])
def test_like_the_slow_llama_tokenizer(
    legacy: bool, llama_folder: Callable[[bool], Path], llama: dict[bool, Tokenizer]
):
    slow = transformers.LlamaTokenizer.from_pretrained(str(llama_folder(legacy)), legacy=legacy)
    slow.add_special_tokens({"additional_special_tokens": SPECIALS[3:]})
    ours = llama[legacy].with_added(SPECIALS[3:])

    @settings(max_examples=300)
    @given(MIXED)
    def check(pieces: list[str]):
        text = "".join(pieces).replace("\x00", "")  # sentencepiece's library ends there
        assert ours.encode(text) == slow.encode(text, add_special_tokens=False)

    check()


@pytest.mark.parametrize("legacy", [True, False])
def test_folder_with_only_a_sentencepiece_model(
    legacy: bool,
    llama_folder: Callable[[bool], Path],
    llama: dict[bool, Tokenizer],
):
    folder = llama_folder(legacy)
    (folder / "tokenizer.json").unlink()
    tokenizer = Tokenizer.from_folder(folder)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 0)
    for text in ("hi</s>USER: x", " grabbed", "           grabbed", UNICODE):
        assert tokenizer.encode(text) == llama[legacy].encode(text)


def test_fast_tokenizers_own_rule_gives_way_to_the_flag(
    llama_folder: Callable[[bool], Path], llama: dict[bool, Tokenizer]
):
    """Newer files put "▁" by a Metaspace step, which leaves out the one before a leading space."""
    folder = llama_folder(False)
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["normalizer"] = None
    spec["pre_tokenizer"] = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "first",
        "split": False,
    }
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    plain = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert plain.encode(" grabbed", add_special_tokens=False).ids != llama[False].encode(" grabbed")
    assert Tokenizer.from_folder(folder).encode(" grabbed") == llama[False].encode(" grabbed")


# Special tokens as text


@settings(max_examples=300)
@given(pieces=MIXED)
def test_literal_text_holds_no_special_tokens(tiny: Tokenizer, pieces: list[str]):
    text = "".join(pieces)
    ids = tiny.encode(text, special=False)
    assert not tiny.special_ids & set(ids)
    assert tiny.decode(ids, skip_special=False) == text
    if not any(special in text for special in SPECIALS):
        assert ids == tiny.encode(text)


def test_special_tokens_of_the_template_among_literal_text(tiny: Tokenizer):
    pieces = [("<s>", True), ("a</s>b", False), ("</s>", True), ("<s", False), (">", False)]
    ids, offsets = tiny.encode_pieces(pieces)
    assert [i for i in ids if i in tiny.special_ids] == [1, 2]
    text = "".join(piece for piece, _ in pieces)
    assert tiny.decode(ids, skip_special=False) == text
    assert offsets[0] == (0, 3)
    assert offsets[ids.index(2)] == (9, 13)
    assert offsets[-1][1] == len(text)


@pytest.mark.parametrize("legacy", [True, False])
def test_literal_specials_in_llama_text(legacy: bool, llama: dict[bool, Tokenizer]):
    tokenizer = llama[legacy]
    ids = tokenizer.encode("a </s> b", special=False)
    assert ids == [263, 1533, 29879, 29958, 289]  # ▁a ▁</ s > ▁b
    ids, _ = tokenizer.encode_pieces([("a</s>b", False), ("</s>", True), ("USER:", True)])
    assert tokenizer.decode(ids, skip_special=False).replace(" ", "") == "a</s>b</s>USER:"
    after = ids[ids.index(2) + 1 :]
    assert after == ([3148, 1001, 29901] if legacy else [11889, 29901])


@settings(max_examples=200)
@given(pieces=st.lists(st.tuples(st.sampled_from([*SPECIALS, *WORDS]), st.booleans())))
def test_offsets_cover_the_text_in_order(tiny: Tokenizer, pieces: list[tuple[str, bool]]):
    ids, offsets = tiny.encode_pieces(pieces)
    text = "".join(piece for piece, _ in pieces)
    assert len(ids) == len(offsets)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
    assert {i for start, end in offsets for i in range(start, end)} == set(range(len(text)))


# Files


@pytest.mark.parametrize("legacy", [True, False])
def test_saved_and_read_again(legacy: bool, llama: dict[bool, Tokenizer], tmp_path: Path):
    tokenizer = llama[legacy].with_added(["<im_start>"])
    tokenizer.save(tmp_path / "new")
    again = Tokenizer.from_folder(tmp_path / "new")
    for text in ("hi</s>USER: x", "<im_start> a", UNICODE):
        assert again.encode(text, bos=True) == tokenizer.encode(text, bos=True)
    assert (again.bos_id, again.eos_id, again.pad_id, again.vocab_size) == (1, 2, 0, 32001)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "new"))
    assert theirs("What color is the bus?").input_ids == again.encode(
        "What color is the bus?", bos=True
    )


def test_tokenizer_without_bos_is_saved_without(tiny_backend: tokenizers.Tokenizer, tmp_path: Path):
    Tokenizer.from_backend(tiny_backend, bos_id=None, eos_id=4, pad_id=2).save(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    assert (again.bos_id, again.eos_id, again.pad_id) == (None, 4, 2)
    assert again.encode("red", bos=True) == again.encode("red")


def test_pad_is_the_configured_token_else_unk_else_eos(
    tiny_backend: tokenizers.Tokenizer, tmp_path: Path
):
    tiny_backend.save(str(tmp_path / "tokenizer.json"))
    config = {"eos_token": "</s>"}
    for extra, pad in (({}, 2), ({"unk_token": "<unk>"}, 0), ({"pad_token": "<s>"}, 1)):
        config |= extra
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert Tokenizer.from_folder(tmp_path).pad_id == pad


def test_travels_to_worker_processes(tiny: Tokenizer):
    again = pickle.loads(pickle.dumps(tiny))
    assert again.encode("the </s> bus") == tiny.encode("the </s> bus")
    assert again.encode("</s>", special=False) == tiny.encode("</s>", special=False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "There is no tokenizer in"),
        ({"tokenizer.json": "{"}, "cannot be read"),
        ({"tokenizer.model": "nothing"}, "cannot be read"),
        ({"tokenizer_config.json": "{", "tokenizer.json": "{}"}, "not valid JSON"),
    ],
)
def test_bad_folders(files: dict[str, str], message: str, tmp_path: Path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        Tokenizer.from_folder(tmp_path)


def test_folder_without_end_of_text(tiny_backend: tokenizers.Tokenizer, tmp_path: Path):
    tiny_backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="eos_token"):
        Tokenizer.from_folder(tmp_path)


# Streaming


@given(st.text(max_size=20))
@pytest.mark.parametrize("legacy", [False, True])
def test_bytes_of_llama_tokens_are_the_text(legacy: bool, llama: dict[bool, Tokenizer], text: str):
    ids = llama[legacy].encode(text, special=False)
    data = b"".join(map(llama[legacy].token_bytes, ids))
    text = text.replace("▁", " ")
    assert data.decode() in (text, " " + text)


@given(MIXED.map("".join))
def test_bytes_of_tokens_are_the_text(tiny: Tokenizer, text: str):
    ids = tiny.encode(text)
    assert b"".join(map(tiny.token_bytes, ids)).decode() == text
    assert tiny.token_bytes(tiny.vocab_size) == b""


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    decoder = StreamDecoder(tokenizer)
    return [*(decoder.push(i) for i in ids), decoder.flush()]


@settings(max_examples=200)
@given(text=st.text(max_size=20))
def test_stream_joins_to_the_text(tiny: Tokenizer, text: str):
    assert "".join(streamed(tiny, tiny.encode(text, special=False))) == text


@pytest.mark.parametrize("legacy", [True, False])
def test_stream_of_llama_tokens(legacy: bool, llama: dict[bool, Tokenizer]):
    ids = llama[legacy].encode(UNICODE)
    pieces = streamed(llama[legacy], [*ids, 2])
    assert "".join(pieces) == llama[legacy].decode(ids) == UNICODE
    assert len([piece for piece in pieces if piece]) > len(ids) // 2
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_stream_that_ends_within_a_character(tiny: Tokenizer):
    ids = tiny.encode("bus 图")
    *pieces, last = streamed(tiny, ids[:-1])
    assert "".join(pieces) == "bus "
    assert last == "\N{REPLACEMENT CHARACTER}"
    assert streamed(tiny, []) == [""]


def test_stream_leaves_out_special_tokens(tiny: Tokenizer):
    ids = [*tiny.encode("The"), 4, *tiny.encode(" bus"), 2]
    assert "".join(streamed(tiny, ids)) == "The bus" == tiny.decode(ids)
