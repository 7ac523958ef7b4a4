"""Relations in a room: distances, heights, support, sizes, and sides from a stated viewpoint.

Judged is "the A <relation> the B" where both are the only ones that can be meant. Sides without
a viewpoint are read and left open.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from llava_jax.instruct.facts import space as facts
from llava_jax.instruct.facts.viewpoint import Viewpoint, hides, lies, place
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.mentions import Mention, Reading, readings
from llava_jax.instruct.grounding.things import is_subject, the_only, verdict_of
from llava_jax.instruct.grounding.views import masked, view_at
from llava_jax.instruct.scene import Cuboid, Entity, Scene
from llava_jax.instruct.turns import Turn

RULE = "space"
METRES = {"m": 1.0, "meter": 1.0, "metre": 1.0, "cm": 0.01, "centimeter": 0.01,
          "centimetre": 0.01, "foot": 0.3048, "feet": 0.3048}  # fmt: skip
AMOUNT = (
    r"(?:about |roughly |approximately |around |only |almost |nearly |some )?"
    r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>" + "|".join(METRES) + r")s?"
)
_IS = (
    r"(?:(?:is|stands|sits|lies|hangs|rests|appears)(?: \w+ly)?"
    r"(?: (?:placed|located|positioned|situated|standing|sitting|lying|resting|hanging|mounted))? )"
)
_THAN = r"(?:is )(?:much |clearly |a bit |slightly |far )?"

Judge = Callable[[Scene, Entity, Entity], bool | None]
# What stands between two things, and whether it is so of them.
_PLAIN: tuple[tuple[str, Judge], ...] = (
    (rf"{_IS}(?:directly |right )?above", facts.above),
    (rf"{_IS}(?:directly |right )?(?:below|under|underneath|beneath)",
     lambda scene, a, b: facts.above(scene, b, a)),
    (rf"{_IS}(?:on|on top of|upon)", lambda scene, a, b: facts.supports(scene, b, a)),
    (r"is supported by", lambda scene, a, b: facts.supports(scene, b, a)),
    (r"supports|carries|holds up", facts.supports),
    (rf"{_THAN}taller than", facts.taller),
    (rf"{_THAN}shorter than", lambda scene, a, b: facts.taller(scene, b, a)),
    (rf"{_THAN}(?:larger|bigger) than", lambda scene, a, b: facts.larger(a, b)),
    (rf"{_THAN}smaller than", lambda scene, a, b: facts.larger(b, a)),
    (r"is (?:nearest|closest) to", facts.is_nearest),
    (r"is (?:farthest|furthest)(?: away)? from", facts.is_farthest),
)  # fmt: skip
Seen = Callable[[Viewpoint, Entity, Entity], bool | None]
_OF_SIDE = r"(?:to |on )?(?:the |its )?{}(?: side| hand side)? of"
_SEEN: tuple[tuple[str, Seen], ...] = (
    (_IS + _OF_SIDE.format("left"), lambda view, a, b: lies(view, a, "left", b)),
    (_IS + _OF_SIDE.format("right"), lambda view, a, b: lies(view, a, "right", b)),
    (rf"{_IS}in front of", lambda view, a, b: lies(view, a, "in front", b)),
    (rf"{_IS}behind", lambda view, a, b: lies(view, a, "behind", b)),
    (r"is (?:mostly )?(?:hidden|blocked|obscured|occluded) by",
     lambda view, a, b: hides(view, b, a)),
)  # fmt: skip
_DISTANCE = re.compile(rf"is {AMOUNT}(?: away)? from", re.IGNORECASE)
_PLAIN_READERS = [(re.compile(form, re.IGNORECASE), judge) for form, judge in _PLAIN]
_SEEN_READERS = [(re.compile(form, re.IGNORECASE), judge) for form, judge in _SEEN]
_SIDE = re.compile(
    rf"{_IS}?(?:(?:on|to) (?:the|your) (?P<side>left|right)(?! (?:side )?of\b| wall\b| end\b)"
    r"(?: side| hand side)?|(?P<ahead>ahead of|in front of) you|(?P<behind>behind) you)\b",
    re.IGNORECASE,
)
_AND = frozenset(("and", ","))


def space(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges what answers say of how the things of a room lie."""
    findings: list[Finding] = []
    if scene.modality != "space" or scene.frame is None:
        return findings
    for reading in readings(scene, masked(scene, turns)):
        if not reading.statement.presupposed:
            turn = turns[reading.statement.turn]
            findings += _relations(scene, turn, reading)
            findings += _sides(scene, turn, reading)
    return findings


def distance_of(found: re.Match[str]) -> float:
    """The metres of an AMOUNT."""
    return float(found["number"]) * METRES[found["unit"].lower()]


def _relations(scene: Scene, turn: Turn, reading: Reading) -> Iterator[Finding]:
    text = reading.statement.text
    things = [m for m in reading.mentions if m.noun.removesuffix("s") not in METRES]
    for one, other in pairwise(things):
        a, b = _placed(scene, reading, one), _placed(scene, reading, other)
        if a is None or b is None or a is b or not is_subject(reading, one):
            continue
        gap = text[one.phrase.end : other.phrase.start].strip()

        def view(lasting: bool, place: int = one.phrase.start) -> Viewpoint | None:
            return view_at(scene, turn, reading.statement, place, lasting)

        judged = _judged(scene, view, gap, a, b)
        if judged is not None:
            truth, evidence = judged
            span = one.phrase.start, other.phrase.end
            yield reading.statement.finding(RULE, verdict_of(truth), *span, evidence)


def _judged(
    scene: Scene, view_of: Callable[[bool], Viewpoint | None], gap: str, a: Entity, b: Entity
) -> tuple[bool | None, str] | None:
    """Whether what the gap says holds of a and b, and the evidence; None where it says nothing.

    view_of: the viewpoint, given whether one of an earlier sentence will do.
    """
    if found := _DISTANCE.fullmatch(gap):
        apart = f"{facts.surface_distance(a, b):.2f} m between surfaces, "
        apart += f"{facts.center_distance(a, b):.2f} m between centres"
        return facts.distance_is(a, b, distance_of(found)), apart
    for reader, judge in _PLAIN_READERS:
        if reader.fullmatch(gap):
            return judge(scene, a, b), _boxes(a, b)
    for reader, seen in _SEEN_READERS:
        if reader.fullmatch(gap):
            # A sofa has a front of its own: only a viewpoint next to the words is surely meant.
            view = view_of(not re.search("front|behind", gap, re.IGNORECASE))
            if view is None:
                return None, "no viewpoint is stated"
            return seen(view, a, b), f"{view.words}: {_boxes(a, b)}"
    return None


def _boxes(a: Entity, b: Entity) -> str:
    def box(entity: Entity) -> str:
        numbers = (*entity.cuboid.center, *entity.cuboid.size)
        return "{} at ({:.2f}, {:.2f}, {:.2f}), {:.2f} x {:.2f} x {:.2f} m".format(
            entity.label, *numbers
        )

    return f"{box(a)}; {box(b)}"


def _sides(scene: Scene, turn: Turn, reading: Reading) -> Iterator[Finding]:
    """ "The sofa is on your left", "the desk and the lamp on the right"."""
    text = reading.statement.text
    claimed, span_end = "", 0
    for number in range(len(reading.mentions) - 1, -1, -1):
        mention = reading.mentions[number]
        found = _SIDE.match(text, mention.phrase.end + 1)
        if found:
            claimed = (found["side"] or ("ahead" if found["ahead"] else "behind")).lower()
            span_end = found.end()
        elif not _joined(reading, number):
            claimed = ""
        entity = _placed(scene, reading, mention)
        if not claimed or entity is None or not is_subject(reading, mention):
            continue
        view = view_at(scene, turn, reading.statement, mention.phrase.start, lasting=True)
        actual = place(view, entity) if view else None
        truth = None if actual is None else actual == claimed
        evidence = f"{view.words}: {actual or 'undecided'}" if view else "no viewpoint is stated"
        span = mention.phrase.start, max(span_end, mention.phrase.end)
        yield reading.statement.finding(RULE, verdict_of(truth), *span, evidence)


def _joined(reading: Reading, number: int) -> bool:
    """Whether only "and" or a comma stands before the next mention."""
    if number + 1 == len(reading.mentions):
        return False
    here, there = reading.mentions[number], reading.mentions[number + 1]
    gap = reading.sentence.between(here.phrase.end, there.phrase.start)
    return bool(gap) and _AND.issuperset(gap)


def _placed(scene: Scene, reading: Reading, mention: Mention) -> Entity | None:
    entity = the_only(scene, reading, mention)
    return entity if entity is not None and isinstance(entity.place, Cuboid) else None
