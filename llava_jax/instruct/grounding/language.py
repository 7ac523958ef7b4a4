"""Sentences of English with what they claim: tokens with places, and the scope each stands in.

A deterministic reading by closed lists of cue words, not a parser. Where it must err it errs
towards "not a claim": what a check then says of the rest can be trusted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from llava_jax.instruct.grounding.words import words_of

# "asserted": said of this scene. "negated": said not to be. "hypothetical": possible, wanted,
# compared with, or for some purpose. "general": said of things of its kind anywhere.
Scope = Literal["asserted", "negated", "hypothetical", "general"]

_TOKEN = re.compile(
    r"\d+(?:\.\d+)?|[^\W\d_]+(?:-[^\W\d_]+)*|['\u2019](?:s|t|re|ve|ll|d|m)\b|[^\w\s]|_"
)
_ENDS = frozenset(".!?;")

# Verbs that make their whole clause a mere possibility.
_MODALS = words_of("could might may would should will can cannot must ought 'd 'll")
_SEEING = words_of("seen found spotted observed noticed visible viewed see observe count")

# What follows these is not claimed, up to the end of the sentence.
_OPENERS = words_of(
    """
    if | whether | unless | when | whenever | perhaps | possibly | probably | likely | maybe |
    potential | potentially | presumably | supposedly | seemingly | suggest | suggests |
    suggesting | indicate | indicates | indicating | imply | implies | implying | imagine |
    suppose | similar | resemble | resembles | resembling | reminiscent | like | such as | as
    if | as though | as a | as an | than | for a | for an | for example | for instance | in
    case | looking for | waiting for | ready for | searching for | used for | used to |
    designed | meant | intended | allow | allows | allowing | enable | enables | enabling |
    help | helps | helping | ensure | ensures | ensuring | avoid | avoids | avoiding | prevent
    | prevents | preventing | need | needs | want | wants | expect | expecting | provide |
    provides | providing | require | requires | requiring | promote | promotes | promoting |
    symbolize | symbolizes | represent | represents | instead of | rather than | due to | any
    | risk of
    """,
    sep="|",
)
_NEGATORS = words_of(
    """
    not | 't | never | without | nor | neither | none | nothing | lack | lacks | lacking |
    absence | absent | missing | except | unlike | free of | nobody
    """,
    sep="|",
)
# A sentence with one of these speaks of the kind.
_GENERAL = words_of(
    """
    often usually typically generally commonly frequently always sometimes normally rarely
    known tend tends crucial essential important necessary vital advisable beneficial everyone
    anyone someone whoever
    """
)
_CLAUSE = words_of(", ; : ( - \u2013 — but while which who that because as since so where")
# "to" before these is a preposition; before another word it begins a purpose ("to catch a ball").
_AFTER_PREPOSITION = words_of(
    """
    the a an this that these those his her its their my our your each one another both some
    several left right side front back top bottom it them him me us you other others two three
    four five
    """
)
_BEFORE_PREPOSITION = words_of("next close closer adjacent near nearer addition")

_SHOWS = "show|featur|depict|display|includ|contain|showcas|present|captur|consist|portray|compris"
_PLACED = (
    "visible|present|seen|shown|placed|located|parked|scattered|positioned|situated|spread|spotted|"
    "found|arranged|standing|sitting|gathered|observed"
)
_FRAME = re.compile(
    rf"\bthere(?: is| are|'s)\b|\b(?:{_SHOWS})(?:es|s|e|ing)?\b|"
    rf"\b(?:is|are|be)(?: also)? (?:{_PLACED})\b|\b(?:i|you|we|one) (?:can )?(?:see|count)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Token:
    """A word in lower case or a sign; characters [start, end) of the text."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """Tokens, the scope that each stands in, and whether it says outright what is to be seen."""

    text: str
    tokens: tuple[Token, ...]
    scopes: tuple[Scope, ...]
    framed: bool

    @property
    def words(self) -> list[str]:
        return [token.word for token in self.tokens]

    def before(self, start: int) -> list[Token]:
        return [token for token in self.tokens if token.end <= start]

    def between(self, start: int, end: int) -> list[str]:
        """The words that lie whole in characters [start, end)."""
        return [token.word for token in self.tokens if token.start >= start and token.end <= end]


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of a text, in order; a line break ends one too. Places are those of `text`."""
    read: list[Sentence] = []
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        if tokens and "\n" in text[tokens[-1].end : match.start()]:
            read.append(_sentence(text, tokens))
            tokens = []
        tokens.append(Token(match[0].lower().replace("\u2019", "'"), match.start(), match.end()))
        if match[0] in _ENDS:
            read.append(_sentence(text, tokens))
            tokens = []
    return (*read, _sentence(text, tokens)) if tokens else tuple(read)


def _sentence(text: str, tokens: Sequence[Token]) -> Sentence:
    own = text[tokens[0].start : tokens[-1].end]
    words = [token.word for token in tokens]
    return Sentence(own, tuple(tokens), tuple(_scopes(words)), _FRAME.search(own) is not None)


def _scopes(words: Sequence[str]) -> list[Scope]:
    """The scope of each word of a sentence."""
    gerund = words[0].endswith("ing") and words[0] != "nothing"
    if gerund or not _GENERAL.isdisjoint(words):
        return ["general"] * len(words)
    scopes: list[Scope] = ["asserted"] * len(words)
    for i in range(len(words)):
        if _opens(words, i, _NEGATORS):
            end = next((j for j in range(i, len(words)) if words[j] == "but"), len(words))
            scopes[i:end] = ["negated"] * (end - i)
    for i, word in enumerate(words):
        if word in _MODALS and _SEEING.isdisjoint(words[i + 1 : i + 5]):
            start = next((j + 1 for j in range(i, -1, -1) if words[j] in _CLAUSE), 0)
        elif _opens(words, i, _OPENERS) or _purpose(words, i):
            start = i
        else:
            continue
        scopes[start:] = ["hypothetical"] * (len(words) - start)
    return scopes


def _opens(words: Sequence[str], i: int, cues: frozenset[str]) -> bool:
    return words[i] in cues or " ".join(words[i : i + 2]) in cues


def _purpose(words: Sequence[str], i: int) -> bool:
    """Whether word i is the "to" of an infinitive."""
    if words[i] != "to" or i + 1 == len(words) or not words[i + 1].isalpha():
        return False
    return words[i + 1] not in _AFTER_PREPOSITION and (
        i == 0 or words[i - 1] not in _BEFORE_PREPOSITION
    )
