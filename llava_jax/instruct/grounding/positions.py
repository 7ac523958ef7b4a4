"""Where things are said to be: in the image, and left of, right of, above or below each other.

Sides are the viewer's. "Her left hand", "the left side of the road" and "on top of the table" say
nothing of the image's axes and are not judged.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from llava_jax.instruct.facts.image import MIDDLE, lies
from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.mentions import Mention, Reading, named, readings
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Box, Entity, Scene
from llava_jax.instruct.turns import Turn

RULE = "positions"

_RELATION = re.compile(
    r"\b(?:(?:to|on|at) (?:the|its) )?"
    r"(?:(?P<side>left|right)(?: side)? of|(?P<height>above|below)) ",
    re.IGNORECASE,
)

_PART = r"left|right|top|bottom|upper|lower|middle|center|centre|central"
_PLACE = re.compile(
    rf"\b(?:on|at|in|to|near|towards?|around|along|close to) (?:the|its) (?:far |very |extreme )?"
    rf"(?P<parts>(?:{_PART})(?:[- ](?:{_PART}))?)(?:[- ](?:hand|most))?"
    r"(?: (?:corner|side|part|portion|half|area|edge|section|third))?"
    r"(?: (?:of|in) the (?:image|picture|photo|photograph|scene|frame)\b"
    r"|(?= *(?:[.,;]|$|and (?:a|an|the|one|another)\b|with\b|while\b)))",
    re.IGNORECASE,
)
# Between a thing and its place they lead to another thing.
_OTHERS = words_of(
    """
    one another other others it they who which while both some each and or
    """
)
_LEADING = words_of("there is are we can see you find , a an also be seen")
_PREPOSITIONS = words_of(
    """
    of in on at by for from to into over under behind near around along across beside between
    above below against inside
    """
)


def positions(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges positions of things that have boxes in an image."""
    findings: list[Finding] = []
    if scene.modality == "image":
        for reading in readings(scene, turns):
            if not reading.statement.presupposed:
                findings += _relations(scene, reading)
                findings += _places(scene, reading)
    return findings


def _relations(scene: Scene, reading: Reading) -> Iterator[Finding]:
    """ "The dog is to the left of the cat." """
    for found in _matches(_RELATION, reading):
        direction = (found["side"] or found["height"]).lower()
        other = _at(reading, found.end())
        if other is None:
            continue
        one = _subject(reading, found.start()) or _led_to(reading, found.start(), other.phrase.end)
        pairs = list(product(_placed(scene, one), _placed(scene, other)))
        pairs = [(a, b) for a, b in pairs if a is not b]
        if one is None or not pairs:
            continue
        verdict = _any(lies(a.box, direction, b.box) for a, b in pairs)
        evidence = f"centres of {pairs[0][0].label} and {pairs[0][1].label}: " + " and ".join(
            _center(entity.box) for entity in pairs[0]
        )
        start = min(one.phrase.start, found.start())
        end = max(one.phrase.end, other.phrase.end)
        yield reading.statement.finding(RULE, verdict, start, end, evidence)


def _places(scene: Scene, reading: Reading) -> Iterator[Finding]:
    """ "The dog is on the left side of the image." """
    for found in _matches(_PLACE, reading):
        one = _subject(reading, found.start()) or _led_to(reading, found.start(), found.end())
        entities = _placed(scene, one)
        if one is None or not entities:
            continue
        parts = re.split(r"[- ]", found["parts"].lower())
        verdict = _any(_stands(entity.box, parts) for entity in entities)
        evidence = f"centre of {entities[0].label}: {_center(entities[0].box)}"
        start, end = min(one.phrase.start, found.start()), max(one.phrase.end, found.end())
        yield reading.statement.finding(RULE, verdict, start, end, evidence)


def _matches(pattern: re.Pattern[str], reading: Reading) -> Iterator[re.Match[str]]:
    """Matches inside the sentence that stand in an asserted scope."""
    tokens, scopes = reading.sentence.tokens, reading.sentence.scopes
    asserted = {
        token.start for token, scope in zip(tokens, scopes, strict=True) if scope == "asserted"
    }
    for found in pattern.finditer(reading.statement.text, tokens[0].start, tokens[-1].end):
        if found.start() in asserted:
            yield found


def _subject(reading: Reading, place: int) -> Mention | None:
    """What stands at a place named later: the nearest mention, if nothing speaks against it."""
    before = [mention for mention in reading.mentions if mention.phrase.end <= place]
    if not before:
        return None
    one = before[-1]
    gap = reading.sentence.between(one.phrase.end, place)
    leading = reading.sentence.before(one.phrase.start)
    in_phrase = bool(leading) and leading[-1].word in _PREPOSITIONS
    clear = all(word.isalpha() for word in gap) and _OTHERS.isdisjoint(gap)
    return one if clear and not in_phrase and reading.asserts(one) else None


def _led_to(reading: Reading, start: int, end: int) -> Mention | None:
    """ "On the left, there is a dog": what follows a place that begins its sentence."""
    after = [mention for mention in reading.mentions if mention.phrase.start >= end]
    if reading.sentence.before(start) or not after:
        return None
    gap = reading.sentence.between(end, after[0].phrase.start)
    return after[0] if _LEADING.issuperset(gap) and reading.asserts(after[0]) else None


def _at(reading: Reading, place: int) -> Mention | None:
    """The mention that begins there."""
    for mention in reading.mentions:
        if mention.phrase.start == place and reading.asserts(mention):
            return mention
    return None


def _placed(scene: Scene, mention: Mention | None) -> list[Entity]:
    """What is spoken of, if it is surely what has these boxes: a "plate" may be no bowl."""
    if mention is None or (
        mention.meaning and not (mention.meaning.whole or mention.meaning.closed)
    ):
        return []
    entities = named(scene, mention)
    known = all(isinstance(entity.place, Box) and not entity.crowd for entity in entities)
    return entities if known else []


def _stands(box: Box, parts: Sequence[str]) -> bool | None:
    """Whether the box's centre is in that part of the image; None where people could disagree."""
    x, y = box.center
    truths: list[bool | None] = []
    for part in parts:
        if part in ("left", "right"):
            truths.append(_beyond(x, part == "left"))
        elif part in ("top", "upper", "bottom", "lower"):
            truths.append(_beyond(y, part in ("top", "upper")))
        else:
            truths.append(_central(x) if len(parts) > 1 else _central(x) and _central(y))
    if False in truths:
        return False
    return None if None in truths else True


def _beyond(center: float, low: bool) -> bool | None:
    """Whether a centre is on the low or the high side of an axis."""
    if center < MIDDLE[0] or center > MIDDLE[1]:
        return (center < MIDDLE[0]) == low
    return None


def _central(center: float) -> bool | None:
    if MIDDLE[0] <= center <= MIDDLE[1]:
        return True
    return False if not MIDDLE[0] / 2 <= center <= 1 - MIDDLE[0] / 2 else None


def _any(truths: Iterable[bool | None]) -> Verdict:
    """One true place is enough; only if all are false is the claim."""
    known = list(truths)
    if True in known:
        return "pass"
    return "unknown" if None in known else "fail"


def _center(box: Box) -> str:
    return "({:.2f}, {:.2f})".format(*box.center)
