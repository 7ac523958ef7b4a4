"""The rule-based teacher's turns about videos, worded from facts alone.

No cause is told: scenes of videos state order and times, and what follows need not be an effect.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from llava_jax.instruct.facts.video import (
    Motion,
    allen,
    coincide,
    events_in_order,
    is_still,
    motions,
    ordered_pairs,
    precedes,
)
from llava_jax.instruct.nouns import listing, noun, sentence
from llava_jax.instruct.scene import Event, Scene
from llava_jax.instruct.turns import Turn

EACH = 2  # turns of each sort in a conversation, where the scene offers them

DETAIL_QUESTIONS = (
    "What happens in the video, from its beginning to its end?",
    "Describe the video in detail.",
    "Retell the clip to somebody who cannot watch it.",
)
ORDER_QUESTIONS = (
    "In which order do things happen, and how can you tell?",
    "Put what happens into the order of time and explain it.",
)
_MOTIONS: dict[Motion, str] = {
    "left": "moves to the left",
    "right": "moves to the right",
    "up": "moves upwards",
    "down": "moves downwards",
    "nearer": "comes closer to the camera",
    "farther": "moves away from the camera",
}
# Sentences begin with these; a name keeps its capital within a sentence.
_LOWERED = frozenset(
    ("A", "An", "The", "He", "She", "They", "It", "Two", "Three", "Several", "Some", "People")
)


def conversation(scene: Scene, rng: random.Random) -> list[Turn]:
    """What comes first, when it happens and how things move, up to EACH of a sort, mixed."""
    turns = []
    for sort in (_firsts, _times, _movements):
        possible = sort(scene, rng)
        turns += rng.sample(possible, min(EACH, len(possible)))
    rng.shuffle(turns)
    return turns


def detail(scene: Scene, rng: random.Random) -> list[Turn]:
    """One paragraph: the captions, all events in the order of time, and what moves."""
    told, previous = list(scene.captions), None
    for event in events_in_order(scene):
        told.append(sentence(f"{_link(previous, event)}{_told(scene, event)}"))
        previous = event
    told += [turn.answer for turn in _movements(scene, rng)]
    return [Turn(rng.choice(DETAIL_QUESTIONS), " ".join(told))] if told else []


def temporal(scene: Scene, rng: random.Random) -> list[Turn]:
    """The longest order that is certain with its times, and what happens at the same time."""
    turns = []
    events = _told_apart(scene)
    chain = _chain(events)
    if len(chain) > 1:
        first, *rest = [f"{_told(scene, event)}, {_span(event)}" for event in chain]
        steps = [sentence(f"first, {first}"), *(sentence(f"then {step}") for step in rest)]
        why = "Each of these begins only when the one before it is over."
        turns.append(Turn(rng.choice(ORDER_QUESTIONS), " ".join([*steps, why])))
    meanwhile = [
        (event, [a for a in events if allen(a.interval, event.interval) == "during"])
        for event in events
    ]
    possible = [(event, inner) for event, inner in meanwhile if inner]
    for event, inner in rng.sample(possible, min(1, len(possible))):
        b, happens = _told(scene, event), listing(_told(scene, a) for a in inner)
        turns.append(Turn(f"What happens while {b}?", sentence(f"while {b}, {happens}")))
    return turns


WRITERS: dict[str, Callable[[Scene, random.Random], list[Turn]]] = {
    "conversation": conversation,
    "detail": detail,
    "temporal": temporal,
}


def _firsts(scene: Scene, rng: random.Random) -> list[Turn]:
    turns = []
    apart = {id(event) for event in _told_apart(scene)}
    for first, second in ordered_pairs(scene):
        if id(first) in apart and id(second) in apart:
            a, b = _told(scene, first), _told(scene, second)
            one, other = rng.sample((a, b), 2)
            turns.append(
                Turn(f"Which comes first: {one}, or {other}?", sentence(f"{a} before {b}"))
            )
    return turns


def _times(scene: Scene, rng: random.Random) -> list[Turn]:
    return [
        Turn(f"When does it happen that {_told(scene, event)}?", sentence(_span(event)))
        for event in _told_apart(scene)
    ]


def _movements(scene: Scene, rng: random.Random) -> list[Turn]:
    labels = Counter(entity.label for entity in scene.entities)
    turns = []
    for track in scene.tracks:
        label = scene.entity(track.entity).label
        how = [_MOTIONS[motion] for motion in motions(track)]
        if not how and is_still(track):
            how = ["stays where it is"]
        if how and labels[label] == 1:
            question = f"How does the {noun(label)} move in the image?"
            turns.append(Turn(question, sentence(f"the {noun(label)} {listing(how)}")))
    return turns


def _told_apart(scene: Scene) -> list[Event]:
    """Events that no other is worded like, in the order of time."""
    texts = Counter(event.text for event in scene.events)
    return [event for event in events_in_order(scene) if texts[event.text] == 1]


def _chain(events: Sequence[Event]) -> list[Event]:
    """Events each certainly before the next: as many as there can be, by earliest end."""
    chain: list[Event] = []
    for event in sorted(events, key=lambda event: event.interval.end):
        if not chain or precedes(chain[-1].interval, event.interval):
            chain.append(event)
    return chain


def _link(previous: Event | None, event: Event) -> str:
    """What leads from one event of a story to the next, where that is certain."""
    if previous is None:
        return ""
    if precedes(previous.interval, event.interval):
        return "then "
    return "at the same time, " if coincide(previous.interval, event.interval) else ""


def _told(scene: Scene, event: Event) -> str:
    """ "A man sings." -> "a man sings"; "hold a dish" of a person -> "the person holds a dish"."""
    text = event.text.rstrip(". ")
    first, _, rest = text.partition(" ")
    if first[:1].isupper() or not event.participants:
        return f"{first.lower() if first in _LOWERED else first} {rest}".rstrip()
    verb = first.rpartition("/")[2]  # "watch/look at a picture"
    verb += "es" if verb.endswith(("s", "sh", "ch", "x", "o")) else "s"
    return f"the {noun(scene.entity(event.participants[0]).label)} {verb} {rest}".rstrip()


def _span(event: Event) -> str:
    """Whole seconds: nobody marks events better, and nobody reads them better."""
    start, end = round(event.interval.start), round(event.interval.end)
    return f"at about {start} s" if start == end else f"from about {start} to {end} s"
