"""From where a text says that things are seen: "standing at the door and looking at the window"."""

import re
from collections.abc import Iterable
from functools import lru_cache

from llava_jax.instruct.facts.space import single_entities
from llava_jax.instruct.facts.viewpoint import Viewpoint, look
from llava_jax.instruct.grounding.statements import Statement
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

# "5 m from the door" names no viewpoint, nor does "the lamp standing at the door".
_LEAD = (
    r"(?:(?:^|(?<=[.!?,:;]) )(?:as )?(?:seen |viewed |looking )?from|"
    r"(?:seen|viewed|visible|observed) from|"
    r"(?:(?:^|(?<=[.!?,:;]) )|(?:imagine|when|while|seen|somebody|someone|you are|are you|if you) )"
    r"(?:you are |you )?(?:standing|stand) (?:at|by|near|next to|beside))"
)
_NEXT = r"(?= ?[.,;:?!]|$| (?:and|looking|facing|you|one|what|where|the)\b)"


@lru_cache(maxsize=64)
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    aim = rf"(?:at|towards?|to)? ?the (?P<at>{names}){_NEXT}"
    nowhere = r"(?P<room>into the room)"
    look_on = r",?(?: and)? (?P<looks>looking|facing|look|face) "
    return re.compile(
        rf"{_LEAD} the (?P<standing>{names}){_NEXT}(?:{look_on}(?:{aim}|{nowhere})?)?",
        re.IGNORECASE,
    )


def views(scene: Scene, text: str) -> list[tuple[int, int, Viewpoint | None]]:
    """(start, end, viewpoint) of each that the text names; None where it cannot be stood at."""
    singles = {entity.label.lower(): entity for entity in single_entities(scene)}
    if not singles:
        return []
    found = []
    for match in _pattern(tuple(singles)).finditer(text):
        at = match["at"]
        clear = not match["looks"] or at or match["room"]
        view = None
        if clear:
            standing = singles[match["standing"].lower()]
            view = look(scene, standing, singles[at.lower()] if at else None)
        found.append((match.start(), match.end(), view))
    return found


def masked(scene: Scene, turns: Iterable[Turn]) -> list[Turn]:
    """The turns with viewpoints blanked out at the same length.

    A sentence that begins "Standing at the door, ..." would else be read as none about the scene.
    """

    def mask(text: str) -> str:
        for start, end, _ in views(scene, text):
            text = text[:start] + re.sub(r"[^.!?,:;\n]", " ", text[start:end]) + text[end:]
            text = text[:end] + re.sub(r"^,", " ", text[end:])
        return text

    return [Turn(mask(turn.question), mask(turn.answer)) for turn in turns]


def view_at(
    scene: Scene, turn: Turn, statement: Statement, place: int, lasting: bool
) -> Viewpoint | None:
    """The viewpoint that holds at a place of an answer; None where it is not stated, or unclear.

    That of its own sentence, else (if `lasting`) the last named before, else the question's if
    that names one only.
    """
    here = [] if statement.within else views(scene, turn.answer)
    ends = [found.end() for found in re.finditer(r"[.!?]", turn.answer)]
    first = max((end for end in ends if end <= place), default=0)
    last = min((end for end in ends if end > place), default=len(turn.answer))
    before = [view for start, _, view in here if start <= place and (lasting or start >= first)]
    own = [view for start, _, view in here if first <= start < last]
    asked = [view for _, _, view in views(scene, turn.question)]
    known = before[-1:] or own[:1] or (asked if len(asked) == 1 else [])
    return known[0] if known else None
