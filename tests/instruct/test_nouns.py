import pytest

from llava_jax.instruct import nouns
from llava_jax.instruct.importers.openmoji_kinds import KINDS


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("dog", "dogs"),
        ("bus", "buses"),
        ("butterfly", "butterflies"),
        ("key", "keys"),
        ("fish", "fish"),
        ("person", "people"),
        ("wine glass", "wine glasses"),
        ("computer mouse", "computer mice"),
        ("couch", "couches"),
        ("potato", "potatoes"),
        ("box", "boxes"),
        ("scissors", "pairs of scissors"),
    ],
)
def test_plural(label: str, expected: str) -> None:
    assert nouns.plural(label) == expected


def test_counted() -> None:
    assert nouns.counted("apple", 1) == "an apple"
    assert nouns.counted("apple", 1, "red") == "a red apple"
    assert nouns.counted("dog", 1, "orange") == "an orange dog"
    assert nouns.counted("strawberry", 2, "red") == "two red strawberries"
    assert nouns.counted("sheep", 12) == "12 sheep"
    assert nouns.counted("skis", 1) == "a pair of skis"


def test_listing_and_sentence() -> None:
    assert nouns.sentence(nouns.inventory({"dog": 1})) == "A dog."
    assert nouns.inventory({"dog": 1, "apple": 2}) == "a dog and two apples"
    assert nouns.inventory({"dog": 1, "apple": 2, "car": 1}) == "a dog, two apples and a car"


def test_no_kind_is_named_like_a_color() -> None:
    """Else "an orange cat" would claim a fruit."""
    colors = {look.color for kind in KINDS.values() for look in kind.looks}
    assert not colors & KINDS.keys()
    assert len(KINDS) >= 40
