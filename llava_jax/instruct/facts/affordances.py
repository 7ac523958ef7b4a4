"""What can be done with a thing, and what state it is in."""

import re

from llava_jax.instruct.scene import Entity, Scene

_OPPOSITES = (
    ("open", "closed"), ("on", "off"), ("clean", "dirty"), ("full", "empty"), ("tidy", "messy"),
    ("folded", "unfolded"), ("wet", "dry"), ("hot", "cold"),
)  # fmt: skip
OPPOSITE = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}


def can(scene: Scene, entity: Entity, verb: str) -> bool | None:
    """Whether the thing can be acted on so; None where the data set may have left it unsaid.

    verb: as people command it, "open", "pick up"; data sets also write "opening", "sitting on".
    """
    forms = {verb, gerund(verb)}
    if not forms.isdisjoint(entity.affordances):
        return True
    return None if forms.isdisjoint(scene.exhaustive.affordances) else False


def gerund(verb: str) -> str:
    """ "open" -> "opening", "sit on" -> "sitting on", "lie on" -> "lying on"."""
    first, *rest = verb.split()
    if first.endswith("ie"):
        first = first[:-2] + "y"
    elif first.endswith("e") and not first.endswith("ee"):
        first = first[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", first):
        first += first[-1]
    return " ".join([first + "ing", *rest])


def is_in_state(entity: Entity, state: str) -> bool | None:
    """None where the thing's state of that sort is not known."""
    if state in entity.states:
        return True
    return False if OPPOSITE.get(state) in entity.states else None
