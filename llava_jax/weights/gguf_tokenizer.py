"""The tokenizer inside a GGUF file, rebuilt for the `tokenizers` library.

Two kinds exist: "gpt2" is byte-level BPE with merges; "llama" is SentencePiece BPE, of which the
file keeps pieces and scores.
"""

from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from llava_jax.errors import UserError
from llava_jax.text.tokenizer import Tokenizer

# Token types of GGUF (enum llama_token_type).
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

# The split before byte-level BPE that Llama 3 was trained with.
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _pre_tokenizer(name: str, where: str) -> pre_tokenizers.PreTokenizer:
    """How text is cut into words before merging, by the name that llama.cpp gave it."""
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in ("gpt-2", "default"):
        return gpt2
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
    if name == "llama-bpe":
        split = pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), "isolated")
        bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([split, bytes_only])
    raise UserError(f"{where}: pre-tokenizer {name!r} is none of gpt-2, smollm, llama-bpe")


def _byte_level(metadata: dict[str, Any], vocabulary: dict[str, int], where: str) -> Backend:
    pre = metadata.get("tokenizer.ggml.pre", "default")
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    model = models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe")
    backend = Backend(model)
    backend.pre_tokenizer = _pre_tokenizer(pre, where)
    backend.decoder = decoders.ByteLevel()
    return backend


def _merges(vocabulary: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """SentencePiece joins the pair with the best-scored result first: pairs in that order."""
    merges = []
    for piece in sorted(vocabulary, key=lambda p: (-scores[vocabulary[p]], vocabulary[p])):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += [(left, right) for left, right in splits if {left, right} <= vocabulary.keys()]
    return merges


def _sentencepiece(metadata: dict[str, Any], vocabulary: dict[str, int]) -> Backend:
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = _merges(vocabulary, metadata["tokenizer.ggml.scores"])
    unknown = tokens[metadata.get("tokenizer.ggml.unknown_token_id", 0)]
    model = models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    backend = Backend(model)
    space = normalizers.Replace(" ", "▁")
    leads = metadata.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend("▁"), space] if leads else [space]
    backend.normalizer = normalizers.Sequence(steps)
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = [decoders.Strip(" ", left=1)] if leads else []
    backend.decoder = decoders.Sequence([*back, *strip])
    return backend


def build_tokenizer(metadata: dict[str, Any], where: str) -> Tokenizer:
    """The tokenizer that a GGUF file's metadata describes.

    Args:
      metadata: keys `tokenizer.ggml.*`.
      where: the file, for messages.
    Raises:
      UserError where there is none or its kind is unknown.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise UserError(f"{where}: tokenizer {kind!r} is none of gpt2, llama")

    def key(name: str, default: Any = None) -> Any:
        return metadata.get(f"tokenizer.ggml.{name}", default)

    tokens, types = key("tokens"), key("token_type")
    eos = key("eos_token_id")
    if eos is None:
        raise UserError(f"{where}: the tokenizer names no end-of-text token")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if kind == "gpt2":
        backend = _byte_level(metadata, vocabulary, where)
    else:
        backend = _sentencepiece(metadata, vocabulary)
    for special, wanted in ((True, (_CONTROL, _UNKNOWN)), (False, (_USER_DEFINED,))):
        added = [
            AddedToken(token, normalized=False, special=special)
            for token, token_type in zip(tokens, types, strict=True)
            if token_type in wanted
        ]
        backend.add_special_tokens(added) if special else backend.add_tokens(added)
    # llama.cpp's defaults where the file does not say it.
    begins = key("add_bos_token", kind == "llama" or key("pre") == "llama-bpe")
    return Tokenizer.from_backend(
        backend,
        bos_id=key("bos_token_id") if begins else None,
        eos_id=eos,
        pad_id=key("padding_token_id", key("unknown_token_id", eos)),
    )
