"""The table of things that drawn scenes are made of: one line a kind.

Names are everyday words (one token each in common vocabularies). A kind has one picture, or one for
each colour it comes in. A colour is given only where people would not argue about it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """One picture of a kind: its Unicode code point, and its main colour where it has one."""

    codepoint: int
    color: str | None


@dataclass(frozen=True)
class Kind:
    name: str
    category: str
    looks: tuple[Look, ...]


def _kind(name: str, category: str, *plain: int, **colored: int) -> Kind:
    looks = [Look(codepoint, None) for codepoint in plain]
    looks += [Look(codepoint, color) for color, codepoint in colored.items()]
    return Kind(name, category, tuple(looks))


_TABLE = (
    _kind("dog", "animal", orange=0x1F436),
    _kind("cat", "animal", orange=0x1F431),
    _kind("horse", "animal", brown=0x1F434),
    _kind("fish", "animal", blue=0x1F41F),
    _kind("bird", "animal", brown=0x1F426),
    _kind("cow", "animal", 0x1F42E),
    _kind("pig", "animal", pink=0x1F437),
    _kind("rabbit", "animal", 0x1F430),
    _kind("frog", "animal", green=0x1F438),
    _kind("elephant", "animal", gray=0x1F418),
    _kind("turtle", "animal", green=0x1F422),
    _kind("butterfly", "animal", blue=0x1F98B),
    _kind("apple", "food", red=0x1F34E),
    _kind("banana", "food", yellow=0x1F34C),
    _kind("strawberry", "food", red=0x1F353),
    _kind("pizza", "food", yellow=0x1F355),
    _kind("cake", "food", yellow=0x1F370),
    _kind("carrot", "food", orange=0x1F955),
    _kind("car", "vehicle", red=0x1F697),
    _kind("bus", "vehicle", red=0x1F68C),
    _kind("bicycle", "vehicle", red=0x1F6B2),
    _kind("rocket", "vehicle", red=0x1F680),
    _kind("house", "object", 0x1F3E0),
    _kind("tree", "object", green=0x1F333),
    _kind("flower", "object", yellow=0x1F33B),
    _kind("key", "object", orange=0x1F511),
    _kind("umbrella", "object", purple=0x2602),
    _kind("clock", "object", white=0x23F0),
    _kind("book", "object", red=0x1F4D5, green=0x1F4D7, blue=0x1F4D8, orange=0x1F4D9),
    _kind("star", "shape", yellow=0x2B50),
    _kind(
        "heart",
        "shape",
        red=0x2764,
        orange=0x1F9E1,
        yellow=0x1F49B,
        green=0x1F49A,
        blue=0x1F499,
        purple=0x1F49C,
    ),
    _kind(
        "circle",
        "shape",
        red=0x1F534,
        orange=0x1F7E0,
        yellow=0x1F7E1,
        green=0x1F7E2,
        blue=0x1F535,
        purple=0x1F7E3,
    ),
    _kind("bee", "animal", yellow=0x1F41D),
    _kind("duck", "animal", 0x1F986),
    _kind("penguin", "animal", 0x1F427),
    _kind("egg", "food", white=0x1F95A),
    _kind("cheese", "food", yellow=0x1F9C0),
    _kind("boat", "vehicle", brown=0x26F5),
    _kind("guitar", "object", red=0x1F3B8),
    _kind(
        "square",
        "shape",
        red=0x1F7E5,
        orange=0x1F7E7,
        yellow=0x1F7E8,
        green=0x1F7E9,
        blue=0x1F7E6,
        purple=0x1F7EA,
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
