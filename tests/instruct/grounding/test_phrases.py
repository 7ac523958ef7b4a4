import pytest

from llava_jax.instruct.grounding.phrases import Phrase, Quantity, phrases


def read(text: str) -> list[Phrase]:
    return [phrase for _, found in phrases(text) for phrase in found]


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("a large black dog sits on the couch", ["dog", "couch"]),
        ("a dog bowl", ["bowl"]),
        ("the dog's bowl", ["dog"]),
        ("a man walking two dogs", ["man", "dogs"]),
        ("a colorful striped umbrella", ["umbrella"]),
        ("a large, placid lake", ["lake"]),
        ("a bowl, fork and knife", ["bowl", "fork", "knife"]),
        ("the image features a cat", ["image", "cat"]),
        ("two dogs run", ["dogs"]),
        ("the couple enjoys cake", ["enjoys"]),
        ("the man books a trip", ["man", "books", "trip"]),
        ("man riding horse", []),
    ],
)
def test_heads(text: str, heads: list[str]) -> None:
    assert [phrase.words[-1] for phrase in read(text)] == heads


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("two large dogs", Quantity(2, exact=True)),
        ("at least two dogs", Quantity(2, exact=False)),
        ("12 dogs", Quantity(12, exact=True)),
        ("several dogs", Quantity(2, exact=False)),
        ("a couple of dogs", Quantity(2, exact=False)),
        ("a herd of sheep", Quantity(2, exact=False)),
        ("a single dog", Quantity(1, exact=True)),
        ("both dogs", Quantity(2, exact=True)),
        ("two of the dogs", Quantity(2, exact=False)),
        ("two more dogs", Quantity(2, exact=False)),
        ("a dog", None),
        ("a pair of dogs", Quantity(2, exact=False)),
        ("a pair of scissors", None),
        ("three pairs of skis", Quantity(3, exact=True)),
    ],
)
def test_quantities(text: str, quantity: Quantity | None) -> None:
    (phrase,) = read(text)
    assert phrase.quantity == quantity


def test_parts_alternatives_and_pictures_are_marked() -> None:
    assert read("two slices of pizza")[0].unit
    assert all(phrase.alternative for phrase in read("a cat or a dog"))
    assert read("a statue of a horse")[0].scope == "hypothetical"
    assert read("no dogs")[0].scope == read("no pair of skis")[0].scope == "negated"
