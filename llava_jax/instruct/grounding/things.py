"""The one thing that a noun phrase speaks of, where no other can be meant."""

from llava_jax.instruct.grounding.finding import Verdict
from llava_jax.instruct.grounding.mentions import Mention, Reading
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Entity, Scene

# Adjectives that do not make a noun another noun: a "coffee table" may be no "table".
_PLAIN = words_of(
    """
    large small big tall little short long wide old new open closed wooden white black gray grey
    brown red green blue yellow round square dark bright whole
    """
)
_PREPOSITIONS = words_of("of in on at by for with near behind under over beside inside from than")


def the_only(
    scene: Scene, reading: Reading, mention: Mention, possible: bool = False
) -> Entity | None:
    """The entity of "the chair" where the scene has one thing of that name; None in any doubt.

    possible: also of what only could be ("you can open the window"), not of what is asserted alone.
    """
    phrase, meaning = mention.phrase, mention.meaning
    if meaning is None or not meaning.whole or not _PLAIN.issuperset(mention.modifiers):
        return None
    if not phrase.definite or phrase.plural or not (possible or _asserted(reading, mention)):
        return None
    head = mention.noun.split(" ")[-1]
    meant = [
        entity
        for entity in scene.entities
        if mention.names(entity.label) or entity.label.split(" ")[-1] == head
    ]
    exact = len(meant) == 1 and mention.names(meant[0].label) and not meant[0].crowd
    return meant[0] if exact else None


def _asserted(reading: Reading, mention: Mention) -> bool:
    """What a thing is compared with ("taller than the lamp") is there as well."""
    before = reading.sentence.before(mention.phrase.start)
    compared = bool(before) and before[-1].word == "than"
    return mention.phrase.scope == "asserted" or compared


def is_subject(reading: Reading, mention: Mention) -> bool:
    """Whether no preposition leads to it: in "the lamp on the desk is ..." the desk is not."""
    before = reading.sentence.before(mention.phrase.start)
    return not before or before[-1].word not in _PREPOSITIONS


def verdict_of(truth: bool | None) -> Verdict:
    return "unknown" if truth is None else "pass" if truth else "fail"
