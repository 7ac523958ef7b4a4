"""English for labels: article, plural, numbers, lists. Covers the drawn kinds and COCO's 80."""

from collections.abc import Iterable, Mapping

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# Things that English counts by the pair.
PAIRS = frozenset({"scissors", "skis", "glasses"})
IRREGULAR = {
    "person": "people",
    "mouse": "mice",
    "sheep": "sheep",
    "fish": "fish",
    "knife": "knives",
    "leaf": "leaves",
    "broccoli": "broccoli",
    "food": "food",
}

# Categories that people ask by ("what animal is in the image?"); COCO also has "outdoor", "indoor".
ASKABLE_CATEGORIES = frozenset({"animal", "food", "vehicle", "shape", "appliance"})


def noun(label: str) -> str:
    """The label as one countable thing: "dog", "pair of scissors"."""
    return f"pair of {label}" if label in PAIRS else label


def plural(label: str) -> str:
    """ "dog" -> "dogs", "wine glass" -> "wine glasses", "scissors" -> "pairs of scissors"."""
    if label in PAIRS:
        return f"pairs of {label}"
    *modifiers, head = label.split(" ")
    if head in IRREGULAR:
        head = IRREGULAR[head]
    elif head.endswith(("s", "x", "ch", "sh", "tomato", "potato")):
        head += "es"
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return " ".join([*modifiers, head])


def with_article(phrase: str) -> str:
    """ "apple" -> "an apple". By the first letter, with the exceptions that occur in the labels."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(("uni", "use", "one"))
    return f"{'an' if vowel else 'a'} {phrase}"


def counted(label: str, count: int, adjective: str = "") -> str:
    """ "a dog", "two dogs", "12 dogs", "a red apple"."""
    phrase = f"{adjective} {noun(label) if count == 1 else plural(label)}".lstrip()
    return with_article(phrase) if count == 1 else f"{number(count)} {phrase}"


def number(count: int) -> str:
    """Up to ten in words."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def listing(phrases: Iterable[str]) -> str:
    """ "a dog", "a dog and a cat", "a dog, a cat and a car"."""
    *firsts, last = phrases
    return f"{', '.join(firsts)} and {last}" if firsts else last


def inventory(counts: Mapping[str, int]) -> str:
    """A list of everything with its number: {"dog": 1, "apple": 2} -> "a dog and two apples"."""
    return listing(counted(label, count) for label, count in counts.items())


def sentence(phrase: str) -> str:
    """First letter in upper case, a full stop at the end."""
    return f"{phrase[0].upper()}{phrase[1:]}."
