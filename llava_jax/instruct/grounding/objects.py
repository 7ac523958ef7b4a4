"""Objects that are asserted though the scene has none."""

from collections.abc import Sequence
from functools import lru_cache

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.language import sentences
from llava_jax.instruct.grounding.lexicon import meaning_of, singular
from llava_jax.instruct.grounding.mentions import Mention, labels_of, named, readings
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "objects"
# Words of the image itself or of its parts, and of no object.
_FRAME_NOUNS = words_of(
    """
    image picture photo photograph scene view background foreground side left right top bottom
    center centre middle corner front back edge area part object thing item color colour frame
    caption theme sort total way
    """
)


def objects(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges every object that is asserted, and those that a question takes for granted."""
    findings = []
    for reading in readings(scene, turns):
        for mention in reading.mentions:
            if reading.asserts(mention) and singular(mention.noun) not in _FRAME_NOUNS:
                verdict, evidence = _judged(scene, mention)
                start, end = mention.phrase.start, mention.phrase.end
                findings.append(reading.statement.finding(RULE, verdict, start, end, evidence))
    return findings


def _judged(scene: Scene, mention: Mention) -> tuple[Verdict, str]:
    if entities := named(scene, mention):
        return "pass", f"annotated: {entities[0].label}"
    if _in_texts(scene, mention):
        return "pass", f"a text of the scene speaks of {mention.noun}"
    meaning, exhaustive = mention.meaning, scene.exhaustive
    if meaning is not None:
        complete = meaning.closed and meaning.labels.issubset(exhaustive.labels)
        if complete or exhaustive.everything:
            return "fail", f"no {' or '.join(sorted(meaning.labels))} is annotated, nor in a text"
    return "unknown", f"nothing is known of {mention.noun}"


def _in_texts(scene: Scene, mention: Mention) -> bool:
    """Whether a text names it or, as annotators miss things that captions name, its label."""
    labels, words = _named_in_texts(tuple(t.text for t in scene.texts), labels_of(scene))
    known = mention.meaning is not None and not mention.meaning.labels.isdisjoint(labels)
    return known or singular(mention.noun) in words


@lru_cache(maxsize=1024)
def _named_in_texts(
    texts: tuple[str, ...], labels: tuple[str, ...]
) -> tuple[frozenset[str], frozenset[str]]:
    """The labels that texts name anywhere, and all their words in the singular."""
    found: set[str] = set()
    words: set[str] = set()
    for sentence in (sentence for text in texts for sentence in sentences(text)):
        words.update(singular(word) for word in sentence.words)
        for i in range(len(sentence.words)):
            meaning, _ = meaning_of(sentence.words[: i + 1], labels)
            found |= meaning.labels if meaning is not None else set()
    return frozenset(found), frozenset(words)
