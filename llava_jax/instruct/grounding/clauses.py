"""Clauses of a sentence and the words of time between them: "X before Y", "After Y, X"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llava_jax.instruct.grounding.language import Sentence
from llava_jax.instruct.grounding.words import words_of

# "then": what it leads in follows what stands before it, in this sentence or the last.
Cue = Literal["before", "after", "while", "then"]

_CUES: dict[str, Cue] = {
    "before": "before",
    "prior to": "before",
    "followed by": "before",
    "after that": "then",
    "after this": "then",
    "after which": "then",
    "after": "after",
    "while": "while",
    "at the same time as": "while",
    "then": "then",
    "afterwards": "then",
    "afterward": "then",
    "subsequently": "then",
    "finally": "then",
    "later": "then",
}
_FIRST_IN_A_SENTENCE: dict[str, Cue] = {"next": "then", "lastly": "then"}
_LONGEST = 5  # words of a cue at most
_JOINTS = words_of(", ; : . ! ? ( ) - \u2013 — and but or who which whose that where")
# "runs after the man" is no order in time.
_PURSUED = words_of("run runs ran running go goes went look looks chase chases come comes")


@dataclass(frozen=True)
class Clause:
    """Words without a joint or cue among them, at characters [start, end) of the text."""

    start: int
    end: int
    words: tuple[str, ...]
    asserted: bool


def cue_pairs(sentence: Sentence, previous: Clause | None) -> Iterator[tuple[Cue, Clause, Clause]]:
    """(cue, the clause it belongs to, the clause it leads in) of each cue that has both.

    previous: the last clause of the sentence before, which a "then" at the start follows.
    """
    for start, end, cue in _cues(sentence.words):
        if start and cue == "after" and sentence.words[start - 1] in _PURSUED:
            continue
        following, stop = _clause_from(sentence, end)
        leading = clause_until(sentence, start)
        if leading is None and cue == "then":
            leading = previous
        elif leading is None:
            leading, _ = _clause_from(sentence, stop)  # "After Y, X"
        if leading and following:
            yield cue, leading, following


def last_clause(sentence: Sentence) -> Clause | None:
    """What a "then" of the next sentence follows; None where the sentence turns time around."""
    if any(cue != "then" for _, _, cue in _cues(sentence.words)):
        return None
    return clause_until(sentence, len(sentence.tokens))


def clause_until(sentence: Sentence, i: int) -> Clause | None:
    """The clause that ends before word i, from the last joint or cue on."""
    words = sentence.words
    borders = {end for _, end, _ in _cues(words)}
    while i > 0 and words[i - 1] in _JOINTS:
        i -= 1
    start = i
    while start > 0 and words[start - 1] not in _JOINTS and start not in borders:
        start -= 1
    return _clause(sentence, start, i)


def clause_after(sentence: Sentence, i: int) -> Clause | None:
    """The clause that begins at word i, up to the next joint or cue."""
    return _clause_from(sentence, i)[0]


def _clause_from(sentence: Sentence, i: int) -> tuple[Clause | None, int]:
    """The clause, and the word after it."""
    words = sentence.words
    borders = {start for start, _, _ in _cues(words)}
    while i < len(words) and words[i] in _JOINTS:
        i += 1
    end = i
    while end < len(words) and words[end] not in _JOINTS and end not in borders:
        end += 1
    return _clause(sentence, i, end), end


def _cues(words: Sequence[str]) -> list[tuple[int, int, Cue]]:
    """(first word, word after the last, cue) of each, in order; the longest where two begin."""
    found: list[tuple[int, int, Cue]] = []
    i = 0
    while i < len(words):
        table = _CUES if i or words[1:2] == ["to"] else _CUES | _FIRST_IN_A_SENTENCE
        for end in range(min(i + _LONGEST, len(words)), i, -1):
            if cue := table.get(" ".join(words[i:end])):
                found.append((i, end, cue))
                i = end
                break
        else:
            i += 1
    return found


def _clause(sentence: Sentence, start: int, end: int) -> Clause | None:
    if start >= end:
        return None
    tokens = sentence.tokens[start:end]
    return Clause(
        tokens[0].start,
        tokens[-1].end,
        tuple(token.word for token in tokens),
        asserted=all(scope == "asserted" for scope in sentence.scopes[start:end]),
    )
