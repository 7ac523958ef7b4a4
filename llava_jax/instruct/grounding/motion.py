"""Claims about motion in answers about a video: "the dog runs to the left", "she walks away"."""

import re
from collections.abc import Sequence

from llava_jax.instruct.facts.video import Motion, is_still, moves
from llava_jax.instruct.grounding.clauses import clause_until
from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.language import Sentence, sentences
from llava_jax.instruct.grounding.lexicon import meaning_of
from llava_jax.instruct.grounding.mentions import labels_of
from llava_jax.instruct.grounding.phrases import phrases
from llava_jax.instruct.grounding.statements import read_statements
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Entity, Scene, Track
from llava_jax.instruct.turns import Turn

_GOES = (
    r"(?:mov|walk|run|driv|slid|roll|fl|drift|crawl|jump|rid|swim|glid|travel|pass|head|step|go|com)"
    r"(?:es|ed|e|s|ies|ying|ning|ming|ping|ing)?|ran|drove|slid|flew|rode|swam|went|came"
)
# Whose left "his left" is stays open, and "to the left of" is a place.
_SIDE = (
    r"to(?:wards?)? the {}(?: side| edge)?(?: of the (?:frame|image|screen|video|picture))?(?! of)"
)
_DIRECTIONS: dict[Motion, str] = {
    "left": rf"{_SIDE.format('left')}|leftwards?|from (?:the )?right to (?:the )?left",
    "right": rf"{_SIDE.format('right')}|rightwards?|from (?:the )?left to (?:the )?right",
    "up": r"upwards?",
    "down": r"downwards?",
    "nearer": r"(?:closer|nearer)(?: to the (?:camera|viewer))?|towards? the (?:camera|viewer)",
    "farther": r"away(?: from the (?:camera|viewer))?|into the distance",
}
# "closer to the table" and "away from the dog" are no claims about the camera.
_PATTERNS = {
    motion: re.compile(rf"\b(?P<verb>{_GOES}) (?:{way})\b(?! (?:to|from|of)\b)", re.IGNORECASE)
    for motion, way in _DIRECTIONS.items()
}
# "a step to the left", "his head to the left": no verb.
_BEFORE_NOUNS = words_of("a an the his her its their my your our one another")


def motion(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Directions are those of the image; nearer and farther are judged by the size of boxes.

    Only what clearly moves the opposite way fails; what stays still is a warning, for a track is
    seen at some moments only.
    """
    if not scene.tracks:
        return []
    findings = []
    for statement in read_statements(turns):
        if statement.presupposed or statement.within is not None:
            continue
        for sentence in sentences(statement.text):
            offset = sentence.tokens[0].start
            for way, pattern in _PATTERNS.items():
                for match in pattern.finditer(sentence.text):
                    start, end = offset + match.start(), offset + match.end()
                    verdict, evidence = _judged(scene, sentence, start, end, way)
                    findings.append(statement.finding("motion", verdict, start, end, evidence))
    return findings


def _judged(
    scene: Scene, sentence: Sentence, start: int, end: int, way: Motion
) -> tuple[Verdict, str]:
    """Of the words at characters [start, end), a verb and where to."""
    mover = _mover(scene, sentence, start)
    if mover is None:
        return "unknown", "it names no single thing that is tracked"
    pairs = zip(sentence.tokens, sentence.scopes, strict=True)
    if any(scope != "asserted" for token, scope in pairs if start <= token.start < end):
        return "unknown", "it is not asserted"
    entity, track = mover
    truth = moves(track, way)
    if truth is None:
        return ("warn" if is_still(track) else "unknown"), _seen(entity, track)
    return ("pass" if truth else "fail"), _seen(entity, track)


def _mover(scene: Scene, sentence: Sentence, verb: int) -> tuple[Entity, Track] | None:
    """The one thing that the clause speaks of before its verb, if it is tracked."""
    clause = clause_until(sentence, sum(token.start < verb for token in sentence.tokens))
    if clause is None or clause.words[-1] in _BEFORE_NOUNS:
        return None
    # Read without the verb: a reader of noun phrases could take an unknown one for a noun.
    told = [phrase for _, found in phrases(" ".join(clause.words)) for phrase in found]
    if len(told) != 1 or told[0].plural:
        return None
    meaning, _ = meaning_of(told[0].words, labels_of(scene))
    entities = [e for e in scene.entities if meaning and e.label in meaning.labels]
    tracks = [track for track in scene.tracks if entities and track.entity == entities[0].id]
    return (entities[0], tracks[0]) if len(entities) == len(tracks) == 1 else None


def _seen(entity: Entity, track: Track) -> str:
    (first, a), (last, b) = track.places[0], track.places[-1]
    return (
        f"the {entity.label}'s centre goes from ({a.center[0]:.2f}, {a.center[1]:.2f}) at "
        f"{first:.1f} s to ({b.center[0]:.2f}, {b.center[1]:.2f}) at {last:.1f} s, its area "
        f"from {a.area:.3f} to {b.area:.3f} of the image"
    )
