"""Claims about time in answers about a video: order, moments and lengths of its events.

Closed lists of cue words, and events told by words that they share with a clause: where a clause
is not surely one event of the scene, its claim is unknown. Only what is asserted can fail.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from llava_jax.instruct.facts.video import APART, at_edge, coincide, lasts, precedes
from llava_jax.instruct.grounding.clauses import (
    Clause,
    Cue,
    clause_after,
    clause_until,
    cue_pairs,
    last_clause,
)
from llava_jax.instruct.grounding.events import content, event_meant
from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.language import Sentence, sentences
from llava_jax.instruct.grounding.statements import Statement, read_statements
from llava_jax.instruct.scene import Event, Interval, Scene
from llava_jax.instruct.turns import Turn

_WORDS = "one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: number for number, word in enumerate(_WORDS.split(), start=1)}
_COUNT = rf"(?P<count>\d+(?:\.\d+)?|{'|'.join(_NUMBERS)})"
_UNIT = r"[ -]?(?P<unit>seconds?|secs?|s|minutes?)\b"
_ABOUT = r"(?: about| around| roughly| approximately)?"
_VIDEO = r"(?:video|clip|footage|film|recording)"
_EDGES: dict[Literal["start", "end"], str] = {
    "start": rf"\b(?:at|in|from) the (?:very )?(?:start|beginning) of the {_VIDEO}\b"
    r"|^(?:at|in|from) the (?:very )?(?:start|beginning)\b(?! of)"
    rf"|\b{_VIDEO} (?:starts|begins|opens) (?:with|as)\b",
    "end": rf"\b(?:at|by|near|towards?) the (?:very )?end of the {_VIDEO}\b"
    r"|^(?:at|by|near|towards?) the (?:very )?end\b(?! of)"
    rf"|\b{_VIDEO} (?:ends|finishes|concludes|closes) (?:with|as)\b",
}
_LENGTH = rf"\b(?:lasts?|lasted|takes?|took|for)(?: for)?{_ABOUT} {_COUNT}{_UNIT}"
_MOMENT = (
    rf"\b(?:at|around){_ABOUT}(?: the)? {_COUNT}{_UNIT}(?: mark)?"
    r"|\b(?:at|around) (?P<minutes>\d+):(?P<rest>[0-5]\d)\b"
)

# What an interval's truth is under a claim: None where people could disagree.
_Truth = Callable[[Interval], bool | None]


def order(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """ "X before Y", "After Y, X", "X. Then Y", "X while Y": pairs of events in time."""
    findings = []
    for statement in _answers(scene, turns):
        previous: Clause | None = None
        for sentence in sentences(statement.text):
            for cue, leading, led in cue_pairs(sentence, previous):
                if content(leading.words) and content(led.words):
                    findings.append(_ordered(scene, statement, cue, leading, led))
            previous = last_clause(sentence)
    return findings


def moments(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """ "At the end of the video, X", "X at 12 seconds": an event and a time of the video."""
    findings = []
    for statement in _answers(scene, turns):
        for sentence in sentences(statement.text):
            for edge, pattern in _EDGES.items():
                for match in re.finditer(pattern, sentence.text, re.IGNORECASE):
                    truth: _Truth = partial(at_edge, duration=scene.duration, edge=edge)
                    findings.append(_timed("moments", scene, statement, sentence, match, truth))
            for match in re.finditer(_MOMENT, sentence.text, re.IGNORECASE):
                truth = partial(_happens_at, seconds=_seconds(match))
                findings.append(_timed("moments", scene, statement, sentence, match, truth))
    return findings


def lengths(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """ "X lasts five seconds", "X for 20 seconds"."""
    findings = []
    for statement in _answers(scene, turns):
        for sentence in sentences(statement.text):
            for match in re.finditer(_LENGTH, sentence.text, re.IGNORECASE):
                truth = partial(lasts, seconds=_seconds(match))
                findings.append(_timed("lengths", scene, statement, sentence, match, truth))
    return findings


def _answers(scene: Scene, turns: Sequence[Turn]) -> Iterator[Statement]:
    if scene.events:
        for statement in read_statements(turns):
            if statement.part == "answer" and statement.within is None:
                yield statement


def _ordered(scene: Scene, statement: Statement, cue: Cue, leading: Clause, led: Clause) -> Finding:
    first, second = (led, leading) if cue == "after" else (leading, led)
    a, b = (event_meant(clause.words, scene.events) for clause in (first, second))
    if a is None or b is None or a is b:
        verdict, evidence = _verdict(None), "it does not name two events of the scene"
    else:
        truth = (coincide if cue == "while" else precedes)(a.interval, b.interval)
        verdict, evidence = _verdict(truth), f"{_told(a)}; {_told(b)}"
    if not (first.asserted and second.asserted):
        verdict, evidence = "unknown", "it is not asserted"
    start, end = min(first.start, second.start), max(first.end, second.end)
    return statement.finding("order", verdict, start, end, evidence)


def _timed(
    rule: str,
    scene: Scene,
    statement: Statement,
    sentence: Sentence,
    match: re.Match[str],
    truth: _Truth,
) -> Finding:
    """Judges the event of the clause that the time stands in, or leads in."""
    offset = sentence.tokens[0].start
    start, end = offset + match.start(), offset + match.end()
    clause = clause_until(sentence, _token_at(sentence, start))
    if clause is None or not content(clause.words):
        clause = clause_after(sentence, _token_at(sentence, end))
    event = event_meant(clause.words, scene.events) if clause else None
    if clause is None or event is None:
        return statement.finding(rule, "unknown", start, end, "it names no event of the scene")
    start, end = min(start, clause.start), max(end, clause.end)
    if not clause.asserted:
        return statement.finding(rule, "unknown", start, end, "it is not asserted")
    return statement.finding(rule, _verdict(truth(event.interval)), start, end, _told(event))


def _token_at(sentence: Sentence, place: int) -> int:
    """The number of the first token that begins at that character or after it."""
    return sum(token.start < place for token in sentence.tokens)


def _verdict(truth: bool | None) -> Verdict:
    return "unknown" if truth is None else "pass" if truth else "fail"


def _told(event: Event) -> str:
    return f'"{event.text}" from {event.interval.start:.1f} to {event.interval.end:.1f} s'


def _happens_at(interval: Interval, seconds: float) -> bool | None:
    gap = max(interval.start - seconds, seconds - interval.end)
    return True if gap <= APART / 2 else None if gap <= APART else False


def _seconds(match: re.Match[str]) -> float:
    found = match.groupdict()
    if found.get("minutes"):
        return 60.0 * int(found["minutes"]) + int(found["rest"])
    count = float(_NUMBERS.get(found["count"].lower()) or found["count"])
    return count * 60 if found["unit"].startswith("minute") else count
