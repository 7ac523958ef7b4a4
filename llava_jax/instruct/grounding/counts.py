"""How many things are said to be there."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llava_jax.instruct.facts.image import MOST_COUNTED
from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.mentions import (
    Mention,
    Reading,
    labels_of,
    named,
    readings,
    text_mentions,
)
from llava_jax.instruct.grounding.phrases import Quantity
from llava_jax.instruct.scene import Box, Entity, Scene
from llava_jax.instruct.turns import Turn

RULE = "counts"
# A thing may go unmentioned in a total if it covers less of the image than this, what COCO calls
# small (32 pixels squared) in an image of its usual size,
SMALL = 32 * 32 / (640 * 480)
BESIDE = 0.25  # and less than this share of what the largest of its label covers.
_EVERYTHING = frozenset(("object", "objects", "thing", "things", "item", "items"))

# "There are two dogs in the image", "two dogs are visible": all that there are, unless something
# narrows it down ("on the couch").
_TOTAL = re.compile(r"\b(?:there (?:is|are)|i count|consists of)(?: \w+)? *$", re.IGNORECASE)
_IMAGE = r"in (?:the|this) (?:image|picture|photo|scene)\b"
_UNRESTRICTED = re.compile(
    rf" *(?:[.!,;:]|$|and (?:an?|one|two|three|four|five|six)\b|"
    rf"(?:(?:visible|shown|present|pictured) )?(?:{_IMAGE}|in (?:total|all)\b)|visible *[.,])",
    re.IGNORECASE,
)
_ARE_VISIBLE = re.compile(
    rf" (?:is|are|can be) (?:visible|present|seen|shown|{_IMAGE})(?: {_IMAGE})? *(?:[.,;:!]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Counted:
    """What a scene knows of a number: `large` of `total` cannot be overlooked.

    certain: all of them are annotated. told: the numbers that its texts give.
    """

    total: int
    large: int
    certain: bool
    told: frozenset[int]


def counts(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges every number of things that is asserted, "no" and "several" among them."""
    findings = []
    for reading in readings(scene, turns):
        for mention in reading.mentions:
            quantity = _claimed(reading, mention)
            if quantity is None or (mention.meaning is None and mention.noun not in _EVERYTHING):
                continue
            everything = mention.meaning is None
            if everything and not (scene.exhaustive.everything and is_total(reading, mention)):
                continue
            known = _everything(scene) if everything else _known(scene, mention)
            verdict = _verdict(quantity, known, mention, is_total(reading, mention))
            phrase = mention.phrase
            evidence = f"{known.total} annotated" + ("" if known.certain else ", perhaps not all")
            findings.append(
                reading.statement.finding(RULE, verdict, phrase.start, phrase.end, evidence)
            )
    return findings


def _claimed(reading: Reading, mention: Mention) -> Quantity | None:
    """The number that is claimed of the scene; None where none is."""
    phrase = mention.phrase
    if phrase.determiner == "no":
        return Quantity(0, exact=True) if is_total(reading, mention) else None
    if phrase.quantity is None or phrase.unit or not reading.asserts(mention):
        return None
    if phrase.quantity == Quantity(1, exact=True) and phrase.determiner == "one":
        return phrase.quantity if is_total(reading, mention) else None
    return phrase.quantity


def is_total(reading: Reading, mention: Mention) -> bool:
    """Whether the sentence speaks of all in the image: "there are two dogs in the image"."""
    if reading.statement.presupposed:
        return False
    text, phrase = reading.statement.text, mention.phrase
    before, after = text[: phrase.start], text[phrase.end :]
    if _ARE_VISIBLE.match(after):
        return True
    only = "only" in reading.sentence.between(phrase.start, phrase.end)
    return bool((only or _TOTAL.search(before)) and _UNRESTRICTED.match(after))


def _known(scene: Scene, mention: Mention) -> Counted:
    entities = named(scene, mention)
    meaning = mention.meaning
    exhaustive = meaning is not None and meaning.labels.issubset(scene.exhaustive.labels)
    closed = meaning is not None and (meaning.closed or meaning.whole)
    return _counted(
        entities,
        certain=(exhaustive and closed) or scene.exhaustive.everything,
        told=_told(scene, mention),
    )


def _everything(scene: Scene) -> Counted:
    return _counted(scene.entities, certain=True, told=())


def _counted(entities: Sequence[Entity], certain: bool, told: Iterable[int]) -> Counted:
    areas = [e.place.area if isinstance(e.place, Box) else 1.0 for e in entities]
    large = sum(area >= min(SMALL, BESIDE * max(areas)) for area in areas)
    crowded = any(entity.crowd for entity in entities)
    few = len(entities) <= MOST_COUNTED
    return Counted(len(entities), large, certain and few and not crowded, frozenset(told))


def _told(scene: Scene, mention: Mention) -> set[int]:
    """Every number that a text gives of these things, and the sums that it lets one make."""
    told: set[int] = set()
    assert mention.meaning is not None
    for text in scene.texts:
        numbers = [
            1 if other.phrase.quantity is None else other.phrase.quantity.number
            for other in text_mentions(text.text, labels_of(scene))
            if other.meaning is not None
            and not other.meaning.labels.isdisjoint(mention.meaning.labels)
        ]
        told.update(numbers)
        told.add(sum(numbers))
    return told - {0}


def _verdict(quantity: Quantity, known: Counted, mention: Mention, total: bool) -> Verdict:
    """Too many is a contradiction; too few is one only of a total, and of things large enough."""
    number = quantity.number
    if number == known.total or (number and number in known.told):
        return "pass"
    if number > known.total:
        return "fail" if known.certain else "unknown"
    if not quantity.exact:
        return "pass"
    whole = mention.meaning is None or mention.meaning.whole
    if total and whole and (number == 0 or number < known.large):
        return "fail"
    return "unknown"
