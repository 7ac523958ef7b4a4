"""A world to act in as text: what is to be done, places and ways between them, things, steps."""

from collections.abc import Mapping

from llava_jax.instruct.facts import navigation
from llava_jax.instruct.render.rendering import Budget, Rendered
from llava_jax.instruct.render.space import entity_names, frame_words, point_words, properties
from llava_jax.instruct.scene import Action, Entity, Node, Scene


def render_symbols(scene: Scene, budget: int | None = None) -> Rendered:
    """Instructions, start, steps, things with their affordances, then the graph of places.

    Places without words are called "place 1", "place 2", ... Under a budget (estimated tokens)
    the places of the way come first, then the others as the scene lists them.
    """
    room = Budget(budget)
    names = {"node": navigation.node_names(scene), "entity": entity_names(scene)}
    instructions = [text.text for text in scene.texts if text.kind == "instruction"]
    lines = room.fit(instructions, "instructions", "Instructions:")
    lines += room.fit(_opening(scene, names["node"]), "notes", "Situation:")
    lines += room.fit(_steps(scene, names), "steps", "Steps, in order:")
    lines += room.fit(_things(scene, names["entity"]), "things", "Things:")
    lines += room.fit(_places(scene, names), "places", "Places:")
    return room.rendered(lines)


Names = Mapping[str, Mapping[str, str]]


def action_words(action: Action, names: Names) -> str:
    """ "go to place 2", "put the egg (fridge)"."""
    if action.node:
        return f"{action.verb} {names['node'][action.node]}"
    first, *rest = (names["entity"][id] for id in action.objects)
    return f"{action.verb} the {first}" + "".join(f" ({other})" for other in rest)


def _opening(scene: Scene, nodes: Mapping[str, str]) -> list[str]:
    lines = [frame_words(scene.frame)] if scene.frame else []
    start, heading = scene.attributes.get("start"), navigation.start_heading(scene)
    if start and heading is not None:
        lines.append(
            f"It begins at {nodes[start]}, looking {heading:.0f} degrees to the right of forward."
        )
    route = navigation.scene_route(scene)
    if route is not None:
        lines.append(f"The way of the steps is {route.length:.1f} m long.")
    return lines


def _steps(scene: Scene, names: Names) -> list[str]:
    """With the turn that one makes before walking, and what a person called the step."""
    walked = [scene.attributes.get("start", ""), *(a.node for a in scene.actions if a.node)]
    by_id = names["node"]
    known = all(node in by_id for node in walked) and bool(scene.edges)
    taken = navigation.turns(scene, walked, navigation.start_heading(scene)) if known else []
    upcoming = iter(taken)
    lines = []
    for number, action in enumerate(scene.actions, start=1):
        turn = next(upcoming, None) if action.node else None
        way = {None: "", "straight": ", straight on"}.get(turn, f", turning {turn}")
        said = f' ("{action.text}")' if action.text else ""
        lines.append(f"{number}. {action_words(action, names)}{way}{said}")
    return lines


def _things(scene: Scene, entities: Mapping[str, str]) -> list[str]:
    return [f"{entities[thing.id]}: {_told(thing)}" for thing in scene.entities]


def _told(thing: Entity) -> str:
    where = [] if thing.place is None else [f"centre {point_words(thing.position)}"]
    return "; ".join(where + properties(thing)) or "place unknown"


def _places(scene: Scene, names: Names) -> list[str]:
    near = navigation.ways(scene)
    return [
        f"{names['node'][node.id]}: {_place(node, near[node.id], names)}" for node in scene.nodes
    ]


def _place(node: Node, ways: Mapping[str, float], names: Names) -> str:
    parts = [point_words(node.position)] if node.position else []
    if node.entities:
        parts.append("in sight: " + ", ".join(names["entity"][id] for id in node.entities))
    if ways:
        to = [f"{names['node'][other]} {length:.1f} m" for other, length in ways.items()]
        parts.append("ways to " + ", ".join(to))
    return "; ".join(parts) or "nothing known"
