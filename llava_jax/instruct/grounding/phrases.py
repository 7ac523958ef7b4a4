"""Noun phrases: "at least two large black dogs" as a number, adjectives and a head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llava_jax.instruct.grounding.language import Scope, Sentence, sentences
from llava_jax.instruct.grounding.lexicon import is_noun, is_plural
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.nouns import NUMBERS, PAIRS

_NUMBERS = {word: number for number, word in enumerate((*NUMBERS, "eleven", "twelve"))}
_VAGUE = {
    **dict.fromkeys(("several", "multiple", "various", "few", "some"), 2),
    **dict.fromkeys(("many", "numerous"), 3),
}
_DEFINITE = words_of("the this that these those its his her their my your our both all")
_DETERMINERS = _DEFINITE | words_of("a an no another each every")
# Between a determiner and a noun, they say that the number is not that of all.
_MORE = words_of("other another more additional different separate extra further")
_GROUPS = words_of(
    """
    group groups number lot lots bunch pair pairs couple collection variety assortment herd
    flock row rows line set total array range crowd team stack pile series dozens plenty trio
    """
)
_DEPICTIONS = words_of("painting statue drawing sculpture figurine print shape logo toy")
_UNITS = words_of(
    """
    slice slices piece pieces part parts half side edge bowl bowls plate box boxes
    """
)
_CONTAINERS = _GROUPS | _DEPICTIONS | _UNITS
_ONLY = words_of("single only total")
_AT_LEAST = (["at", "least"], ["more", "than"])
# Words that no noun phrase goes on over.
_STOPS = words_of(
    """
    of in on at by for with without from to into onto over under above below beside besides
    between behind near next around along across through against inside outside off up down
    out about after before during towards toward until upon within among amongst beneath
    underneath and or but nor so yet if while because although though since as than that which
    who whom whose where when what why how i you he she it we they me him them us himself
    itself themselves there here is are was were be been being am has have had having do does
    did can could may might must shall should will would cannot not also too very quite rather
    just only even still already then thus both either neither each one ones together apart
    away back forward nearby visible present left right instead else indoors outdoors upright
    alone asleep awake today prior further
    """
)
_VERBS = words_of(
    """
    sits stands lies lays walks runs looks appears seems rides plays holds wears eats drinks
    shows features contains rests hangs faces leans waits sleeps grazes flies moves travels
    stares carries drives jumps swims occupies adds needs covers comes goes takes makes gets
    gives works watches stretches reaches depicts displays includes showcases captures
    presents consists serves creates protects suggests indicates offers
    """
)
# Plurals of labels that after another noun are verbs: "the man books a trip".
_NOUN_OR_VERB = words_of("bears books ties trains sinks skis oranges")


@dataclass(frozen=True)
class Quantity:
    """How many: `exact` for "two", else at least so many ("several": 2)."""

    number: int
    exact: bool


@dataclass(frozen=True)
class Phrase:
    """A noun phrase; characters [start, end) of the text, and the place of its first token.

    determiner: "a", "the", "two", ...; "" for a bare noun. words: adjectives, then the noun.
    unit: it counts parts or helpings ("slices of"). alternative: joined by "or".
    """

    determiner: str
    words: tuple[str, ...]
    start: int
    end: int
    first: int
    scope: Scope
    quantity: Quantity | None = None
    unit: bool = False
    alternative: bool = False

    @property
    def definite(self) -> bool:
        return self.determiner in _DEFINITE

    @property
    def plural(self) -> bool:
        return is_plural(self.words[-1])


@lru_cache(maxsize=4096)
def phrases(text: str) -> tuple[tuple[Sentence, tuple[Phrase, ...]], ...]:
    """The sentences of a text with their noun phrases, in order."""
    return tuple((sentence, tuple(_read(sentence))) for sentence in sentences(text))


def _read(sentence: Sentence) -> list[Phrase]:
    read: list[Phrase] = []
    words, i = sentence.words, 0
    while i < len(words):
        phrase, end = _phrase(sentence, words, i)
        if phrase is None:
            i += 1
            continue
        i = end
        before = words[phrase.first - 1] if phrase.first else ""
        after = words[end] if end < len(words) else ""
        if not phrase.determiner and read and before in (",", "and", "or"):
            phrase = _joined(phrase, read[-1], sentence)
        read.append(replace(phrase, alternative="or" in (before, after)))
    return [phrase for phrase in read if phrase.determiner or phrase.plural]


def _joined(phrase: Phrase, previous: Phrase, sentence: Sentence) -> Phrase:
    """ "a fork and knife": the second of a list has the determiner of the first."""
    gap = sentence.between(previous.end, phrase.start)
    if not {",", "and", "or"}.issuperset(gap) or not previous.determiner or phrase.plural:
        return phrase
    return replace(phrase, determiner=previous.determiner)


def _phrase(sentence: Sentence, words: Sequence[str], i: int) -> tuple[Phrase | None, int]:
    """The phrase that begins at word i, and where it ends; (None, i) where none begins."""
    start = i
    while start < len(words) and _quantifies(words[i:start], words[start]):
        start += 1
    end = _content_end(words, start)
    determiner, quantity = _opening(words[i:start], words[max(0, i - 2) : i])
    if end == start or not (determiner or is_noun(words[end - 1])):
        return None, i
    scope = "negated" if determiner == "no" else sentence.scopes[end - 1]
    places = sentence.tokens[i].start, sentence.tokens[end - 1].end
    phrase = Phrase(determiner, tuple(words[start:end]), *places, i, scope, quantity)
    return _spoken_of(sentence, words, phrase, end)


def _spoken_of(
    sentence: Sentence, words: Sequence[str], outer: Phrase, end: int
) -> tuple[Phrase, int]:
    """ "a group of dogs", "two slices of pizza": what is spoken of stands after "of"."""
    head = outer.words[-1]
    if not outer.determiner or words[end : end + 1] != ["of"] or head not in _CONTAINERS:
        return outer, end
    inner, inner_end = _phrase(sentence, words, end + 1)
    if inner is None:
        return outer, end
    scope = outer.scope if outer.determiner == "no" else inner.scope
    quantity = inner.quantity
    if head in ("pair", "pairs") and inner.words[-1] in PAIRS:
        quantity = outer.quantity  # a pair of scissors is one thing
    elif head in _GROUPS and quantity is None:
        quantity = Quantity(2, exact=False)
    return replace(
        inner,
        determiner=inner.determiner or outer.determiner,
        start=outer.start,
        first=outer.first,
        scope="hypothetical" if head in _DEPICTIONS else scope,
        quantity=quantity,
        unit=head in _UNITS,
    ), inner_end


def _quantifies(run: Sequence[str], word: str) -> bool:
    """Whether a word goes on with determiners and numbers: "a", "a total", "a total of"."""
    if word in _DETERMINERS:
        return _ONLY.issuperset(run) or run[-1] == "of"
    if word == "of":
        return "total" in run or any(_number(w) is not None or w in _VAGUE for w in run)
    if word in ("different", "separate", "extra", "further"):
        return bool(run)
    return word in _ONLY or word in _MORE or word in _VAGUE or _number(word) is not None


def _opening(run: Sequence[str], before: Sequence[str]) -> tuple[str, Quantity | None]:
    """The determiner and the number that those words give."""
    said = [word for word in run if word not in _ONLY]
    determiner = said[0] if said else ""
    numbers = [number for word in run if (number := _number(word)) is not None]
    some = "of" in run and "total" not in run
    exact = not some and _MORE.isdisjoint(run) and list(before) not in _AT_LEAST
    if numbers:
        return determiner, Quantity(numbers[-1], exact)
    vague = [_VAGUE[word] for word in run if word in _VAGUE]
    if vague and list(before[-1:]) != ["as"]:  # "as many dogs as cats" may be one of each
        return determiner, Quantity(vague[-1], exact=False)
    if determiner == "both":
        return determiner, Quantity(2, exact)
    if determiner in ("a", "the") and not {"single", "only"}.isdisjoint(run):
        return determiner, Quantity(1, exact)
    return determiner, None


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() else _NUMBERS.get(word)


def _content_end(words: Sequence[str], start: int) -> int:
    """Where the adjectives and nouns from `start` on end."""
    i = start
    while i < len(words) and not _ends(words, start, i):
        i += 1
    return i


def _ends(words: Sequence[str], start: int, i: int) -> bool:
    """Whether word i no longer belongs to the phrase that began at `start`."""
    word = words[i]
    if not word[0].isalpha() or word in _STOPS or word in _DETERMINERS:
        return not _joins_adjectives(words, start, i)
    if word in _NUMBERS or word in _VAGUE:
        return True
    participle = word.endswith(("ing", "ed", "en")) and not is_noun(word)
    following = words[i + 1] if i + 1 < len(words) else "."
    modifies = following[0].isalpha() and following not in _STOPS | _DETERMINERS
    if i == start:
        return _adverb(word) or (participle and not modifies)
    previous = words[i - 1]
    known = is_noun(previous)
    if is_plural(previous) and (known or (i - 2 >= start and is_noun(words[i - 2]))):
        return True  # a plural hardly modifies, nor does a verb: "dogs bear", "the dog enjoys cake"
    if known and word in _NOUN_OR_VERB:
        return True
    if word in _VERBS or _adverb(word):
        return True
    return participle and (known or not modifies)


def _adverb(word: str) -> bool:
    return word.endswith("ly") and not word.endswith(("fly", "mily", "elly", "lily"))


def _joins_adjectives(words: Sequence[str], start: int, i: int) -> bool:
    """Whether a comma or "and" stands between two adjectives: "a large, placid lake"."""
    if i == start or i + 2 >= len(words) or words[i] not in (",", "and"):
        return False
    following = words[i + 1 : i + 3]
    apart = _STOPS | _DETERMINERS | _NUMBERS.keys() | _VAGUE.keys()
    plain = all(word[0].isalpha() and word not in apart for word in following)
    return plain and not is_noun(words[i - 1]) and not is_noun(following[0]) and i - start <= 2
