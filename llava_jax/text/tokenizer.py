"""The tokenizer: one small face over the `tokenizers` library.

It adds three things that LLaVA needs: character offsets, from which the loss mask follows; text in
which "</s>" and its like are only text; and LLaMA's two ways with the word-start mark "▁" (the
`legacy` flag of a checkpoint's tokenizer_config.json), of which the library's own conversion of
`legacy=false` differs from the slow LlamaTokenizer that LLaVA was trained with.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from llava_jax.errors import UserError

Offsets = list[tuple[int, int]]  # per token: first and one past the last character

_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")  # LLaMA's, of bytes that have no token of their own


class Tokenizer:
    """Text to token ids and back.

    bos_id: what every text begins with, None for tokenizers that begin with nothing. pad_id: fills
    rows and stands where image features go; it is never looked up or learned. special_ids: ids that
    `decode` leaves out. vocab_size: number of ids, added tokens included (a checkpoint's embedding
    may be padded beyond it).
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        config: dict[str, Any],
        *,
        bos_id: int | None,
        eos_id: int,
        pad_id: int,
    ):
        self._stored = backend.to_str()  # `save` writes what was read
        self._config = config
        self._backend, self._leads_with_space = _with_prefix_rule(backend, config.get("legacy"))
        self.bos_id = bos_id
        self.eos_id = eos_id
        self.pad_id = pad_id
        added = self._backend.get_added_tokens_decoder()
        self._added_ids = {token.content: i for i, token in added.items()}
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        longest_first = sorted(self._added_ids, key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @classmethod
    def from_folder(cls, path: str | Path) -> "Tokenizer":
        """Reads a Hugging Face folder: tokenizer.json, or else LLaMA's tokenizer.model.

        `legacy` of tokenizer_config.json decides where "▁" is put; where it is absent, what
        tokenizer.json does stands. The pad token is the configured one, else unk (as LLaVA has it),
        else eos. UserError when the folder holds no tokenizer or no end-of-text token.
        """
        folder = Path(path)
        config = {
            **_read_json(folder / "special_tokens_map.json"),
            **_read_json(folder / "tokenizer_config.json"),
        }
        backend = _read_backend(folder)

        def token_id(name: str) -> int | None:
            token = config.get(name)
            content = token["content"] if isinstance(token, dict) else token
            return None if content is None else backend.token_to_id(content)

        eos = token_id("eos_token")
        if eos is None:
            raise UserError(
                f"The tokenizer in {folder} names no end-of-text token: "
                'add "eos_token" to its tokenizer_config.json.'
            )
        begins = backend.encode("").ids[:1]  # what its post-processor puts in front
        if "add_bos_token" in config:
            bos = token_id("bos_token") if config["add_bos_token"] else None
        else:
            bos = begins[0] if begins else None
        candidates = (token_id("pad_token"), token_id("unk_token"), eos)
        pad = next(i for i in candidates if i is not None)
        return cls(backend, config, bos_id=bos, eos_id=eos, pad_id=pad)

    @classmethod
    def from_backend(
        cls, backend: tokenizers.Tokenizer, *, bos_id: int | None, eos_id: int, pad_id: int
    ) -> "Tokenizer":
        """Wraps a tokenizer built elsewhere (a GGUF file's, for one)."""
        config = {"tokenizer_class": "PreTrainedTokenizerFast"}
        return cls(backend, config, bos_id=bos_id, eos_id=eos_id, pad_id=pad_id)

    def with_added(self, tokens: Sequence[str]) -> "Tokenizer":
        """The same with special tokens at the end of the vocabulary, e.g. "<im_start>"."""
        backend = tokenizers.Tokenizer.from_str(self._stored)
        backend.add_special_tokens([tokenizers.AddedToken(t, normalized=False) for t in tokens])
        return Tokenizer(
            backend, self._config, bos_id=self.bos_id, eos_id=self.eos_id, pad_id=self.pad_id
        )

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json and its configuration, for `from_folder` and for transformers."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        token = self._backend.id_to_token
        config = {
            **self._config,
            "bos_token": None if self.bos_id is None else token(self.bos_id),
            "eos_token": token(self.eos_id),
            "pad_token": token(self.pad_id),
            "add_bos_token": self.bos_id is not None,
        }
        (folder / "tokenizer.json").write_text(self._stored, encoding="utf-8")
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        return self._backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, bos: bool = False, special: bool = True) -> list[int]:
        """Token ids. special=False: "</s>" and its like in the text are nothing but text."""
        ids, _ = self.encode_pieces([(text, special)])
        return [self.bos_id, *ids] if bos and self.bos_id is not None else ids

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text; bytes that form no character become U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special)

    def token_bytes(self, token_id: int) -> bytes:
        """What a token adds to a text: a part of a character, it may be. Ids of no token: nothing.

        Special tokens give their name, which `decode` leaves out.
        """
        token = self._backend.id_to_token(token_id) or ""
        if token in self._added_ids:
            return token.encode()
        if self._is_byte_level:
            return bytes(_BYTES[character] for character in token)
        if byte := _BYTE_TOKEN.fullmatch(token):
            return bytes.fromhex(byte[1])
        return token.replace("▁", " ").encode()

    def encode_pieces(
        self, pieces: Sequence[tuple[str, bool]], *, begins: bool = True
    ) -> tuple[list[int], Offsets]:
        """Encodes one text that is given in pieces, without a bos token.

        pieces: (text, whether special tokens are recognised in it); tokens may span pieces.
        begins: whether a new text begins here (it decides about the first "▁" where legacy=false).
        Returns ids and, per token, its characters in the joined text; a "▁" that stands for no
        character is given the next one. Around recognised tokens with `lstrip` or `rstrip` the
        spaces stay, but only in texts that also hold an unrecognised one.
        """
        text = "".join(piece for piece, _ in pieces)
        allowed, start = set(), 0
        for piece, special in pieces:
            if special:
                spans = (match.span() for match in self._added.finditer(piece))
                allowed |= {(start + first, start + end) for first, end in spans}
            start += len(piece)
        found = {match.span() for match in self._added.finditer(text)}
        starts_special = any(first == 0 for first, _ in allowed)
        leads = self._leads_with_space and begins and not starts_special
        if found == allowed:
            return _encode(self._backend, text, leads)
        ids, offsets = [], []
        for start, end, token in _cut(text, sorted(allowed)):
            if token:
                piece_ids, piece_offsets = [self._added_ids[text[start:end]]], [(0, end - start)]
            else:
                leads_here = leads and start == 0
                piece_ids, piece_offsets = _encode(self._literal, text[start:end], leads_here)
            ids += piece_ids
            offsets += [(start + first, start + last) for first, last in piece_offsets]
        return ids, offsets

    @cached_property
    def _is_byte_level(self) -> bool:
        return '"ByteLevel"' in json.dumps(json.loads(self._stored)["decoder"])

    @cached_property
    def _literal(self) -> tokenizers.Tokenizer:
        """The backend without its added tokens."""
        spec = json.loads(self._backend.to_str())
        spec["added_tokens"] = []
        return tokenizers.Tokenizer.from_str(json.dumps(spec))


class StreamDecoder:
    """Text piece by piece while ids arrive, never half a character.

    The pieces joined are `tokenizer.decode` of all ids. Each `push` costs a few tokens' decoding,
    however long the text has become.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._ids: list[int] = []  # from the last piece on: what comes before sets the spacing
        self._given = 0  # how many of them have been given out

    def push(self, token_id: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        if token_id in self._tokenizer.special_ids:
            return ""
        self._ids.append(token_id)
        known, text = self._texts()
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._ids, self._given = self._ids[self._given :], len(self._ids) - self._given
        return text[len(known) :]

    def flush(self) -> str:
        """What is left at the end: an unfinished character as U+FFFD."""
        known, text = self._texts()
        self._ids, self._given = [], 0
        return text[len(known) :]

    def _texts(self) -> tuple[str, str]:
        decode = self._tokenizer.decode
        return decode(self._ids[: self._given]), decode(self._ids)


def _byte_characters() -> dict[str, int]:
    """The bytes that GPT-2's vocabulary writes as visible characters (its `bytes_to_unicode`)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in visible]
    moved = {chr(256 + number): byte for number, byte in enumerate(others)}
    return {chr(byte): byte for byte in visible} | moved


_BYTES = _byte_characters()


def _encode(backend: tokenizers.Tokenizer, text: str, leads: bool) -> tuple[list[int], Offsets]:
    if not text:
        return [], []
    if not leads:
        encoding = backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets
    encoding = backend.encode(" " + text, add_special_tokens=False)
    offsets = [(max(start - 1, 0), max(end - 1, 1)) for start, end in encoding.offsets]
    return encoding.ids, offsets


def _cut(text: str, tokens: list[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each stretch of the text, and whether it is one of the tokens."""
    position = 0
    for start, end in tokens:
        if position < start:
            yield position, start, False
        yield start, end, True
        position = end
    if position < len(text):
        yield position, len(text), False


def _with_prefix_rule(
    backend: tokenizers.Tokenizer, legacy: bool | None
) -> tuple[tokenizers.Tokenizer, bool]:
    """The backend without post-processor, and whether its texts must be led by a space.

    LLaMA's tokenizer puts "▁" before the text. With `legacy` it does so again after every special
    token; without, never again, and not even at the start when a special token stands there.
    """
    spec = json.loads(backend.to_str())
    spec["post_processor"] = None  # bos is put by us, and a byte-level one would trim the offsets
    is_llama = spec["model"]["type"] == "BPE" and spec["model"].get("byte_fallback")
    if legacy is not None and is_llama:
        mark = {"type": "Prepend", "prepend": "▁"}
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        normalizers = [mark, spaces] if legacy else [spaces]
        spec["normalizer"] = {"type": "Sequence", "normalizers": normalizers}
        spec["pre_tokenizer"] = None
    rebuilt = tokenizers.Tokenizer.from_str(json.dumps(spec))
    return rebuilt, legacy is False and bool(is_llama)


def _read_backend(folder: Path) -> tokenizers.Tokenizer:
    if (folder / "tokenizer.json").is_file():
        try:
            return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from error
    if not (folder / "tokenizer.model").is_file():
        raise UserError(
            f"There is no tokenizer in {folder}: it should hold tokenizer.json or tokenizer.model."
        )
    # Imported here: it takes seconds, and only folders without a tokenizer.json need it.
    from transformers import LlamaTokenizerFast

    try:
        return LlamaTokenizerFast.from_pretrained(str(folder), legacy=True).backend_tokenizer
    except Exception as error:
        raise UserError(f"{folder / 'tokenizer.model'} cannot be read: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
