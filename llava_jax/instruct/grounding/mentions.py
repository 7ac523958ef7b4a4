"""Noun phrases of the turns with what they mean in a scene: what the rules judge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from llava_jax.instruct.grounding.language import Sentence
from llava_jax.instruct.grounding.lexicon import Meaning, meaning_of, singular
from llava_jax.instruct.grounding.phrases import Phrase, phrases
from llava_jax.instruct.grounding.statements import Statement, read_statements
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Entity, Scene
from llava_jax.instruct.turns import Turn

# Before a noun these say that it may be no real one.
_UNREAL = words_of(
    """
    toy stuffed fake plastic decorative miniature model cartoon painted ceramic inflatable
    rubber rocking imaginary drawn wooden metal paper virtual
    """
)


@dataclass(frozen=True)
class Mention:
    """A noun phrase; `noun` is its head, `modifiers` its adjectives, `meaning` None where the
    tables know the head not.
    """

    phrase: Phrase
    noun: str
    modifiers: tuple[str, ...]
    meaning: Meaning | None

    def names(self, label: str) -> bool:
        """Whether an entity of that label is one of what is spoken of."""
        return self.meaning is not None and label in self.meaning.labels


@dataclass(frozen=True)
class Reading:
    """A sentence of a statement with its mentions, in order."""

    statement: Statement
    sentence: Sentence
    mentions: tuple[Mention, ...]

    def asserts(self, mention: Mention) -> bool:
        """Whether it says that the scene has what is mentioned; a question says so by "the"."""
        phrase = mention.phrase
        if phrase.scope != "asserted" or phrase.alternative:
            return False
        if self.statement.presupposed:
            return phrase.definite and mention.meaning is not None
        return bool(phrase.determiner) or self.sentence.framed


def readings(scene: Scene, turns: Sequence[Turn]) -> Iterator[Reading]:
    """All that the turns state, sentence by sentence, in the scene's labels."""
    labels = labels_of(scene)
    for statement in read_statements(turns):
        for sentence, mentions in _mentions(statement.text, labels):
            yield Reading(statement, sentence, mentions)


def labels_of(scene: Scene) -> tuple[str, ...]:
    """Every label that the scene's annotators had."""
    seen = (entity.label for entity in scene.entities)
    return tuple(dict.fromkeys((*scene.exhaustive.labels, *seen)))


def named(scene: Scene, mention: Mention) -> list[Entity]:
    """The entities that a mention can speak of; a category's name speaks of its members."""
    return [
        entity
        for entity in scene.entities
        if mention.names(entity.label)
        or singular(mention.noun) == entity.attributes.get("category")
    ]


@lru_cache(maxsize=4096)
def _mentions(
    text: str, labels: tuple[str, ...]
) -> tuple[tuple[Sentence, tuple[Mention, ...]], ...]:
    return tuple(
        (sentence, tuple(_mention(phrase, labels) for phrase in found))
        for sentence, found in phrases(text)
    )


def text_mentions(text: str, labels: tuple[str, ...]) -> list[Mention]:
    """The mentions of one text, such as a caption."""
    return [mention for _, found in _mentions(text, labels) for mention in found]


def _mention(phrase: Phrase, labels: tuple[str, ...]) -> Mention:
    meaning, length = meaning_of(phrase.words, labels)
    modifiers = phrase.words[:-length]
    if meaning is not None and not _UNREAL.isdisjoint(modifiers):
        meaning = Meaning(meaning.labels)
    return Mention(phrase, " ".join(phrase.words[-length:]), modifiers, meaning)
