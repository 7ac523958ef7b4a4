"""The rule-based teacher's turns about rooms, worded from facts alone."""

import random
from collections.abc import Callable
from itertools import combinations, permutations

from llava_jax.instruct.facts import space, viewpoint
from llava_jax.instruct.facts.affordances import OPPOSITE
from llava_jax.instruct.facts.viewpoint import Viewpoint
from llava_jax.instruct.nouns import inventory, listing, sentence
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

EACH = 2  # turns of each sort in a conversation, where the scene offers them

DETAIL_QUESTIONS = (
    "Describe this room in detail.",
    "Walk me through the room: what is where?",
    "Give a full account of the room and of how its things lie together.",
)


def conversation(scene: Scene, rng: random.Random) -> list[Turn]:
    """Distances, sizes, support, states and uses, up to EACH of a sort, in mixed order."""
    turns = []
    for sort in (_distances, _sizes, _supports, _nearest, _states, _uses):
        possible = sort(scene)
        turns += rng.sample(possible, min(EACH, len(possible)))
    rng.shuffle(turns)
    return turns


def detail(scene: Scene, rng: random.Random) -> list[Turn]:
    """One paragraph: what there is, what rests on what, how far apart, what is seen from where."""
    counts: dict[str, int] = {}
    for entity in scene.entities:
        if entity.label not in space.STRUCTURE:
            counts[entity.label] = counts.get(entity.label, 0) + 1
    if not counts:
        return []
    told = [sentence(f"the room holds {inventory(counts)}")]
    for sort in (_supports, _states, _distances, _sizes):
        possible = sort(scene)
        told += [turn.answer for turn in rng.sample(possible, min(EACH, len(possible)))]
    view = viewpoint.chosen_viewpoint(scene)
    if view is not None and (sides := _sides(scene, view)):
        told.append(sentence(f"{view.words}, you have {sides}"))
    return [Turn(rng.choice(DETAIL_QUESTIONS), " ".join(told))]


def viewpoints(scene: Scene, rng: random.Random) -> list[Turn]:
    """Sides, order and occlusion as seen from one stated viewpoint."""
    view = viewpoint.chosen_viewpoint(scene)
    if view is None:
        return []
    turns = []
    if sides := _sides(scene, view):
        question = f"Imagine {view.words}. What is on your left, on your right and in front of you?"
        turns.append(Turn(question, sentence(f"{view.words}, you have {sides}")))
    for possible in (_ordered(scene, view), _hidden(scene, view)):
        turns += rng.sample(possible, min(1, len(possible)))
    return turns


WRITERS: dict[str, Callable[[Scene, random.Random], list[Turn]]] = {
    "conversation": conversation,
    "detail": detail,
    "viewpoint": viewpoints,
}


def _distances(scene: Scene) -> list[Turn]:
    return [
        Turn(
            f"How far is the {a.label} from the {b.label}?",
            f"The {a.label} is about {metres:.1f} m from the {b.label}.",
        )
        for a, b in combinations(space.single_entities(scene), 2)
        if (metres := space.surface_distance(a, b)) > space.APART
    ]


def _sizes(scene: Scene) -> list[Turn]:
    turns = []
    for a, b in permutations(space.single_entities(scene), 2):
        for word, exceeds in (
            ("taller", space.taller(scene, a, b)),
            ("larger", space.larger(a, b)),
        ):
            if exceeds:
                first, second = sorted((a.label, b.label))
                question = f"Which is {word}, the {first} or the {second}?"
                turns.append(Turn(question, f"The {a.label} is {word} than the {b.label}."))
    return turns


def _supports(scene: Scene) -> list[Turn]:
    named = {entity.id for entity in space.single_entities(scene)}
    return [
        Turn(f"What does the {on.label} rest on?", f"The {on.label} rests on the {below.label}.")
        for on, below in space.support_pairs(scene)
        if on.id in named and (below.id in named or below.label == "floor")
    ]


def _nearest(scene: Scene) -> list[Turn]:
    return [
        Turn(
            f"Which thing is nearest to the {b.label}?",
            f"The {a.label} is nearest to the {b.label}.",
        )
        for a, b in permutations(space.single_entities(scene), 2)
        if space.is_nearest(scene, a, b)
    ]


def _states(scene: Scene) -> list[Turn]:
    return [
        Turn(f"Is the {e.label} {first} or {second}?", f"The {e.label} is {state}.")
        for e in space.single_entities(scene)
        for state in e.states
        if state in OPPOSITE and OPPOSITE[state] not in e.states
        for first, second in [sorted((state, OPPOSITE[state]))]
    ]


def _uses(scene: Scene) -> list[Turn]:
    return [
        Turn(f"What is the {e.label} good for?", f"It is good for {listing(e.affordances)}.")
        for e in space.single_entities(scene)
        if e.affordances
    ]


def _sides(scene: Scene, view: Viewpoint) -> str:
    """ "the sofa on the left and the desk and the lamp on the right"."""
    there: dict[str, list[str]] = {"left": [], "right": [], "ahead": []}
    for entity in space.single_entities(scene):
        if (side := viewpoint.place(view, entity)) in there:
            there[side].append(f"the {entity.label}")
    words = {"left": "on the left", "right": "on the right", "ahead": "in front of you"}
    parts = [f"{listing(things)} {words[side]}" for side, things in there.items() if things]
    return listing(parts) if parts else ""


def _ordered(scene: Scene, view: Viewpoint) -> list[Turn]:
    ways: dict[viewpoint.Way, str] = {
        "left": "to the left of", "right": "to the right of", "in front": "in front of",
        "behind": "behind",
    }  # fmt: skip
    return [
        Turn(
            f"As seen {view.words}, where is the {a.label} relative to the {b.label}?",
            f"The {a.label} is {words} the {b.label}.",
        )
        for a, b in permutations(space.single_entities(scene), 2)
        for way, words in ways.items()
        if viewpoint.lies(view, a, way, b)
    ]


def _hidden(scene: Scene, view: Viewpoint) -> list[Turn]:
    return [
        Turn(
            f"Is the {b.label} in plain sight for somebody {view.words}, and why?",
            f"No, the {b.label} is mostly hidden by the {a.label}, which is nearer and in the same "
            "direction.",
        )
        for a, b in permutations(space.single_entities(scene), 2)
        if viewpoint.hides(view, a, b)
    ]
