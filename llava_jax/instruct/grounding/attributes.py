"""Colours that are said of things whose colour the scene knows."""

import re
from collections.abc import Iterator, Sequence

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.mentions import Mention, Reading, named, readings
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "attributes"
COLORS = words_of(
    """
    red orange yellow green blue purple pink brown black white gray tan beige gold silver
    """
)
_SPELLINGS = {"grey": "gray", "violet": "purple", "golden": "gold"}


def attributes(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges colours: "a red apple", "the apple is red", "a blue background".

    Another colour than the annotated one contradicts a complete scene; elsewhere people name the
    same colour by many words, and one thing has several: a person should look.
    """
    findings = []
    for reading in readings(scene, turns):
        for mention in reading.mentions:
            claimed, end = _claimed(reading, mention)
            known = list(_known(scene, mention))
            if not claimed or not known or not reading.asserts(mention):
                continue
            verdict = _verdict(scene, claimed, known)
            evidence = f"{mention.noun}: {' or '.join(sorted(set(known)))}"
            start = mention.phrase.start
            findings.append(reading.statement.finding(RULE, verdict, start, end, evidence))
    return findings


def _claimed(reading: Reading, mention: Mention) -> tuple[frozenset[str], int]:
    """The colours said of a mention, as adjectives or after "is", and where the saying ends."""
    after = [token for token in reading.sentence.tokens if token.start >= mention.phrase.end]
    said, end = list(mention.modifiers), mention.phrase.end
    if [token.word for token in after[:1]] in (["is"], ["are"]):
        for token in after[1:]:
            if _plain(token.word) not in COLORS and token.word != "and":
                break
            said.append(token.word)
            end = token.end
    return COLORS & {_plain(word) for word in said}, end


def _plain(word: str) -> str:
    return _SPELLINGS.get(word, word)


def _known(scene: Scene, mention: Mention) -> Iterator[str]:
    """The colours annotated of what is spoken of; the background is the scene's own."""
    if mention.noun == "background" and "background" in scene.attributes:
        yield scene.attributes["background"]
    for entity in named(scene, mention):
        if color := entity.attributes.get("color"):
            yield color


def _verdict(scene: Scene, claimed: frozenset[str], known: Sequence[str]) -> Verdict:
    annotated = {_plain(word) for color in known for word in re.findall(r"\w+", color.lower())}
    if claimed <= annotated:
        return "pass"
    return "fail" if scene.exhaustive.everything else "warn"
