import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.sets.noun_phrases import SPACY_MODEL, by_rules, by_spacy


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("A man riding a horse on the beach", ["man", "horse", "beach"]),
        ("the old man's red car parked on grass.", ["old man's red car", "grass"]),
        ("A woman is sitting in a living room", ["woman", "living room"]),
        ("a tall building, a tall building and a T-shirt", ["tall building", "t-shirt"]),
        ("Two dogs quickly run through 12 hoops", ["two dogs", "12 hoops"]),
        ("It is 7 of them.", []),
        ("", []),
    ],
)
def test_rules(caption: str, phrases: list[str]) -> None:
    assert list(by_rules([caption])) == [phrases]


def test_without_spacy_or_its_model_the_user_is_told(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UserError, match="--noun_phrases=rules"):
        next(by_spacy(["a dog"]))

    def load(model: str, exclude: list[str]) -> None:
        raise OSError(f"[E050] Can't find model '{model}'")

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    with pytest.raises(UserError, match="spacy download en_core_web_sm"):
        next(by_spacy(["a dog"]))


def test_chunks_of_a_parser_lose_determiners_and_pronouns(monkeypatch) -> None:
    """A parse written by hand, since spaCy's own takes a model that is not everywhere."""

    def chunk(*tokens: tuple[str, str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(lower_=lower, pos_=pos) for lower, pos in tokens]

    man = chunk(("the", "DET"), ("old", "ADJ"), ("man", "NOUN"))
    parse = SimpleNamespace(noun_chunks=[man, chunk(("him", "PRON")), man])
    parser = SimpleNamespace(pipe=lambda captions: (parse for _ in captions))
    spacy = SimpleNamespace(load=lambda model, exclude: parser)
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    assert list(by_spacy(["The old man sees him, the old man"] * 2)) == [["old man"]] * 2


@pytest.mark.slow
def test_parser_and_rules_mostly_agree(shared_data: Path) -> None:
    spacy = pytest.importorskip("spacy")
    if not spacy.util.is_package(SPACY_MODEL):
        pytest.skip(f"spaCy's model {SPACY_MODEL} is not installed")
    records = json.loads((shared_data / "lcs_2k" / "chat.json").read_text())[:400]
    captions = [record["conversations"][1]["value"] for record in records]
    parsed, ruled = list(by_spacy(captions)), list(by_rules(captions))
    common = sum(len(set(a) & set(b)) for a, b in zip(parsed, ruled, strict=True))
    assert common > 0.7 * sum(map(len, ruled))
    assert common > 0.7 * sum(map(len, parsed))
