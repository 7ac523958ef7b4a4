"""Which of a video's events a clause speaks of, by the content words that they share."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Event

# A clause means an event where the event has at least SHARED of the clause's content words and
# twice as much of them as any other event. A word counts 1/n where n events have it, so that "the
# man" of every event tells little; two words at least must be shared, one of them with no other.
SHARED = 0.6
LEAST = 2

_FUNCTION_WORDS = words_of(
    """
    a an the this that these those some any each every both all another other others its his her
    their my our your he she it they we you i him them us who which what there here is are was were
    be been being am has have had having do does did doing to of in on at by for with from into onto
    over under up down out off about around through across along upon within and or but nor so as if
    than too also very just only even still again away back together then first next last finally
    later afterwards afterward subsequently before after while during until when immediately shortly
    directly soon right meanwhile begin begins began start starts started starting continue
    continues continued proceed proceeds proceeded seen shown see shows can video clip scene footage
    second seconds s not now
    """
)
_VOWELS = frozenset("aeiouy")
_IRREGULAR_FORMS = """
take took taken; run ran; give gave given; go went gone goes; come came; sit sat; stand stood;
hold held; throw threw thrown; catch caught; eat ate eaten; drink drank drunk; light lit;
shake shook shaken; ride rode ridden; drive drove driven; write wrote written; swim swam swum;
sing sang sung; fly flew flown; fall fell fallen; break broke broken; speak spoke spoken;
bring brought; buy bought; build built; sweep swept; sleep slept; keep kept; leave left; meet met;
make made; lay laid; lie lying; tie tying; bend bent; spin spun; swing swung; hang hung; slide slid;
blow blew blown; draw drew drawn; wear wore worn; get got gotten; shoot shot; find found; feel felt;
feed fed; lead led; leap leapt; dig dug; win won; man men; woman women; child children;
person people; foot feet; knife knives; leaf leaves
"""
_IRREGULAR = {
    form: first
    for first, *forms in (entry.split() for entry in _IRREGULAR_FORMS.split(";"))
    for form in forms
}


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """ "pours", "poured", "pouring" -> "pour"; the same stem for a word's forms, not a word."""
    word = _IRREGULAR.get(word, word)
    if word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    else:
        for ending in ("ing", "ed", "es", "s"):
            rest = word.removesuffix(ending)
            if rest != word and len(rest) > 2 and not word.endswith("ss") and _VOWELS & set(rest):
                word = rest
                break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return f"{word[:-2]}y" if word.endswith("ie") else word.removesuffix("e")


def content(words: Iterable[str]) -> frozenset[str]:
    """The stems of the words that say what happens and to what."""
    return frozenset(stem(w) for w in words if w[0].isalpha() and w not in _FUNCTION_WORDS)


def event_meant(words: Iterable[str], events: Iterable[Event]) -> Event | None:
    """The one event that a clause of these words (lower case) speaks of; None where in doubt."""
    clause = content(words)
    told = [(event, content(_words(event.text))) for event in events]
    frequency = Counter(stem for _, stems in told for stem in stems)
    total = sum(1 / max(frequency[stem], 1) for stem in clause)
    scores = sorted(
        (
            (sum(1 / frequency[stem] for stem in clause & stems) / total, number)
            for number, (_, stems) in enumerate(told)
            if clause & stems
        ),
        reverse=True,
    )
    if not scores:
        return None
    best, number = scores[0]
    event, stems = told[number]
    shared = clause & stems
    unique = any(frequency[stem] == 1 for stem in shared)
    doubt = len(scores) > 1 and scores[1][0] > best / 2
    return event if best >= SHARED and len(shared) >= LEAST and unique and not doubt else None


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    spaced = "".join(c if c.isalpha() or c in "-'" else " " for c in text.lower())
    return tuple(word.removesuffix("'s").strip("-'") or " " for word in spaced.split())
