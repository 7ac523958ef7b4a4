"""Noun phrases: "at least two large black dogs" as a number, adjectives and a head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llava_jax.instruct.grounding.language import Scope, Sentence, sentences
from llava_jax.instruct.grounding.lexicon import is_noun, is_plural
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.nouns import NUMBERS

_NUMBERS = {word: number for number, word in enumerate((*NUMBERS, "eleven", "twelve"))}
_VAGUE = {
    **dict.fromkeys(("several", "multiple", "various", "few", "some", "couple", "pair"), 2),
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
    away back forward nearby visible present left right
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
    determiner, quantity, start = _opening(words, i)
    end = _content_end(words, start)
    if end == start:
        return None, i
    head = words[end - 1]
    if not determiner and not is_noun(head):
        return None, i
    if determiner and end + 1 < len(words) and words[end] == "of":
        of = _after_of(sentence, words, end + 1, head, determiner, quantity, i)
        if of is not None:
            return of
    first, last = sentence.tokens[i], sentence.tokens[end - 1]
    scope = "negated" if determiner == "no" else sentence.scopes[end - 1]
    return Phrase(
        determiner, tuple(words[start:end]), first.start, last.end, i, scope, quantity
    ), end


def _after_of(
    sentence: Sentence,
    words: Sequence[str],
    i: int,
    head: str,
    determiner: str,
    quantity: Quantity | None,
    start: int,
) -> tuple[Phrase, int] | None:
    """ "a group of dogs", "two slices of pizza": what is spoken of stands after "of"."""
    if head not in _GROUPS | _DEPICTIONS | _UNITS:
        return None
    inner, end = _phrase(sentence, words, i)
    if inner is None:
        return None
    if head in _DEPICTIONS:
        inner = replace(inner, scope="hypothetical")
    elif head in _UNITS:
        inner = replace(inner, unit=True)
    elif inner.quantity is None:
        inner = replace(inner, quantity=Quantity(2, exact=False))
    start_of_all = sentence.tokens[start].start
    return replace(
        inner, determiner=inner.determiner or determiner, start=start_of_all, first=start
    ), end


def _opening(words: Sequence[str], i: int) -> tuple[str, Quantity | None, int]:
    """Determiner, number, and where the words of the phrase begin."""
    determiner, quantity, more = "", None, False
    lower_bound = i >= 2 and list(words[i - 2 : i]) in (["at", "least"], ["more", "than"])
    only = False
    while i < len(words):
        word = words[i]
        number = _NUMBERS.get(word, int(word) if word.isdigit() else None)
        if word in ("single", "only", "total"):
            only = True
        elif word in _MORE and (determiner or word in ("other", "another", "more", "additional")):
            more = True
            determiner = determiner or word
        elif number is not None:
            quantity = Quantity(number, exact=not lower_bound)
            determiner = determiner or word
        elif word in _VAGUE and (word not in ("couple", "pair") or determiner):
            quantity = Quantity(_VAGUE[word], exact=False)
            determiner = determiner or word
        elif word in _DETERMINERS and not determiner:
            determiner = word
        elif word == "of" and quantity and determiner:
            of_all = i + 1 < len(words) and words[i + 1] in _DEFINITE
            if of_all or quantity.exact:
                quantity = replace(quantity, exact=False)
        elif word in _DEFINITE and words[i - 1] == "of" and quantity:
            pass
        else:
            break
        i += 1
    if determiner == "both" and quantity is None:
        quantity = Quantity(2, exact=True)
    if only and quantity is None and determiner in ("a", "the"):
        quantity = Quantity(1, exact=True)
    if more and quantity:
        quantity = replace(quantity, exact=False)
    return determiner, quantity, i


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
        return (word.endswith("ly") and not is_noun(word)) or (participle and not modifies)
    previous = words[i - 1]
    if is_plural(previous) and is_noun(previous) and not is_noun(word):
        return True  # a plural hardly modifies: "dogs run", "bananas ripe for eating"
    if word in _VERBS or word.endswith("ly"):
        return True
    return participle and (is_noun(previous) or not modifies)


def _joins_adjectives(words: Sequence[str], start: int, i: int) -> bool:
    """Whether a comma or "and" stands between two adjectives: "a large, placid lake"."""
    if i == start or i + 2 >= len(words) or words[i] not in (",", "and"):
        return False
    following = words[i + 1 : i + 3]
    apart = _STOPS | _DETERMINERS | _NUMBERS.keys() | _VAGUE.keys()
    plain = all(word[0].isalpha() and word not in apart for word in following)
    return plain and not is_noun(words[i - 1]) and not is_noun(following[0]) and i - start <= 2
