"""The rule-based teacher's turns about worlds to act in, worded from facts alone."""

import random
from collections.abc import Callable
from itertools import pairwise, permutations

from llava_jax.instruct.facts import navigation
from llava_jax.instruct.facts.affordances import can
from llava_jax.instruct.facts.navigation import Route
from llava_jax.instruct.facts.navigation import Turn as Turning
from llava_jax.instruct.nouns import listing, sentence, with_article
from llava_jax.instruct.scene import Action, Entity, Scene
from llava_jax.instruct.turns import Turn

EACH = 2  # turns of each sort in a conversation, where the scene offers them
MOST_PLACES = 8  # of which questions are asked: a building has hundreds

_WAYS: dict[Turning | None, str] = {
    "straight": "go straight on to",
    "left": "turn left and go to",
    "right": "turn right and go to",
    "back": "turn back and go to",
    None: "go to",
}


def conversation(scene: Scene, rng: random.Random) -> list[Turn]:
    """Ways, neighbours, what is in sight and what can be done, up to EACH of a sort."""
    turns = []
    for sort in (_routes, _neighbours, _sights, _possible, _impossible):
        possible = sort(scene)
        turns += rng.sample(possible, min(EACH, len(possible)))
    rng.shuffle(turns)
    return turns


def detail(scene: Scene, rng: random.Random) -> list[Turn]:
    """One paragraph: the places and what is in sight there, the things and what they allow."""
    told = [turn.answer for sort in (_neighbours, _sights) for turn in sort(scene)]
    told += [
        f"You can {listing(entity.affordances)} the {entity.label}."
        for entity in _singles(scene)
        if entity.affordances
    ]
    question = "Describe this place and what somebody could do in it."
    return [Turn(question, " ".join(told))] if told else []


def plan(scene: Scene, rng: random.Random) -> list[Turn]:
    """The scene's own steps in order: a way with its turns, or a task."""
    route = navigation.scene_route(scene)
    if route is not None:
        names = navigation.node_names(scene)
        question = f"How do I get from {names[route.nodes[0]]} to {names[route.nodes[-1]]}?"
        return [Turn(question, _walk(scene, route))]
    if not scene.actions:
        return []
    tasks = [text.text for text in scene.texts if text.kind == "instruction"]
    question = (
        f"{rng.choice(tasks)} Which steps does this take?" if tasks else "What is to be done?"
    )
    steps = [
        f"{number}. {sentence(_step(scene, action))}"
        for number, action in enumerate(scene.actions, start=1)
    ]
    return [Turn(question, "\n".join(steps))]


WRITERS: dict[str, Callable[[Scene, random.Random], list[Turn]]] = {
    "conversation": conversation,
    "detail": detail,
    "plan": plan,
}


def _walk(scene: Scene, route: Route) -> str:
    """ "From the hall, go straight on to the stairs. At the stairs, turn left and go to ..." """
    names = [navigation.node_names(scene)[node] for node in route.nodes]
    taken = navigation.turns(scene, route.nodes, navigation.start_heading(scene))
    told = [
        sentence(f"{'at' if number else 'from'} {here}, {_WAYS[turn]} {there}")
        for number, (turn, (here, there)) in enumerate(zip(taken, pairwise(names), strict=True))
    ]
    told.append(f"The way from {names[0]} to {names[-1]} is {route.length:.1f} m long.")
    return " ".join(told)


def _step(scene: Scene, action: Action) -> str:
    if action.node:
        return f"{action.verb} {navigation.node_names(scene)[action.node]}"
    first, *rest = (scene.entity(id) for id in action.objects)
    if action.verb == "put" and rest:
        where = "in" if can(scene, rest[0], "open") else "on"
        return f"put the {first.label} {where} the {rest[0].label}"
    return f"{action.verb} the {first.label}"


def _singles(scene: Scene) -> list[Entity]:
    labels = [entity.label for entity in scene.entities]
    return [entity for entity in scene.entities if labels.count(entity.label) == 1]


def _routes(scene: Scene) -> list[Turn]:
    if not scene.exhaustive.edges:
        return []
    names = dict(list(navigation.node_names(scene).items())[:MOST_PLACES])
    turns = []
    for (a, start), (b, end) in permutations(names.items(), 2):
        route = navigation.shortest_route(scene, a, b)
        answer = (
            f"The shortest way from {start} to {end} is {route.length:.1f} m long."
            if route
            else f"There is no way from {start} to {end}."
        )
        turns.append(Turn(f"How long is the shortest way from {start} to {end}?", answer))
    return turns


def _neighbours(scene: Scene) -> list[Turn]:
    names = navigation.node_names(scene)
    near = navigation.ways(scene)
    return [
        Turn(
            f"Where can one go directly from {names[node.id]}?",
            f"From {names[node.id]}, one can go directly to "
            f"{listing(names[other] for other in near[node.id])}.",
        )
        for node in scene.nodes[:MOST_PLACES]
        if near[node.id]
    ]


def _sights(scene: Scene) -> list[Turn]:
    names = navigation.node_names(scene)
    return [
        Turn(
            f"What is in sight at {names[node.id]}?",
            f"At {names[node.id]}, there is "
            f"{listing(with_article(scene.entity(id).label) for id in node.entities)} in sight.",
        )
        for node in scene.nodes
        if node.entities
    ]


def _possible(scene: Scene, truth: bool = True) -> list[Turn]:
    answer = "Yes, you can" if truth else "No, you cannot"
    return [
        Turn(f"Can you {verb} the {entity.label}?", f"{answer} {verb} the {entity.label}.")
        for entity in _singles(scene)
        for verb in dict.fromkeys((*entity.affordances, *scene.exhaustive.affordances))
        if can(scene, entity, verb) is truth
    ]


def _impossible(scene: Scene) -> list[Turn]:
    return _possible(scene, truth=False)
