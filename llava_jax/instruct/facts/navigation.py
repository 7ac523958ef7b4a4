"""What is certain of ways and plans: who reaches what, how far, by which turns, in which order."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from llava_jax.instruct.facts.space import axis
from llava_jax.instruct.scene import Action, Entity, Node, Scene

STRAIGHT = 25.0  # degrees up to which one walks on
TURN = (40.0, 140.0)  # degrees between which one turns left or right
BACK = 155.0  # degrees from which one turns back

Turn = Literal["straight", "left", "right", "back"]


@dataclass(frozen=True)
class Route:
    """Nodes in the order of walking, and metres."""

    nodes: tuple[str, ...]
    length: float


def node_names(scene: Scene) -> dict[str, str]:
    """What to call each node: by its text where no other has it, else "place 1", "place 2", ..."""
    texts = Counter(node.text for node in scene.nodes)
    return {
        node.id: node.text if node.text and texts[node.text] == 1 else f"place {number}"
        for number, node in enumerate(scene.nodes, start=1)
    }


def ways(scene: Scene) -> dict[str, dict[str, float]]:
    """Metres to each neighbour of each node."""
    near: dict[str, dict[str, float]] = {node.id: {} for node in scene.nodes}
    for edge in scene.edges:
        near[edge.start][edge.end] = near[edge.end][edge.start] = edge.length
    return near


def shortest_route(scene: Scene, start: str, end: str) -> Route | None:
    """By Dijkstra's algorithm; None where no way leads there."""
    near = ways(scene)
    queue: list[tuple[float, tuple[str, ...]]] = [(0.0, (start,))]
    done: set[str] = set()
    while queue:
        length, nodes = heapq.heappop(queue)
        here = nodes[-1]
        if here == end:
            return Route(nodes, length)
        if here in done:
            continue
        done.add(here)
        for there, step in near[here].items():
            if there not in done:
                heapq.heappush(queue, (length + step, (*nodes, there)))
    return None


def route_along(scene: Scene, nodes: Sequence[str]) -> Route | None:
    """The route over these nodes; None where one step of it is no way."""
    near = ways(scene)
    steps = [near[here].get(there, math.inf) for here, there in pairwise(nodes)]
    return Route(tuple(nodes), sum(steps)) if all(map(math.isfinite, steps)) else None


def scene_route(scene: Scene) -> Route | None:
    """The way that the scene's actions walk, from its start; None without ways or walking."""
    start = scene.attributes.get("start", "")
    nodes = [start, *(action.node for action in scene.actions if action.node)]
    return route_along(scene, nodes) if len(nodes) > 1 and scene.edges else None


def start_heading(scene: Scene) -> float | None:
    """Degrees to the right of the frame's forward, in which one looks at the start."""
    heading = scene.attributes.get("heading")
    return float(heading) if heading else None


def bearing(scene: Scene, here: Node, there: Node) -> float | None:
    """Degrees to the right of the frame's forward; None for steps that go up or down alone."""
    frame = scene.frame
    if frame is None or frame.forward is None or frame.right is None:
        return None
    if here.position is None or there.position is None:
        return None
    step = np.subtract(there.position, here.position)
    right, forward = float(step @ axis(frame.right)), float(step @ axis(frame.forward))
    return None if math.hypot(right, forward) < 0.1 else math.degrees(math.atan2(right, forward))


def turn(before: float, after: float) -> Turn | None:
    """From one heading to another; None near the limits, where people would differ."""
    angle = (after - before + 180) % 360 - 180
    if abs(angle) <= STRAIGHT:
        return "straight"
    if abs(angle) >= BACK:
        return "back"
    if TURN[0] <= abs(angle) <= TURN[1]:
        return "right" if angle > 0 else "left"
    return None


def turns(scene: Scene, nodes: Sequence[str], heading: float | None = None) -> list[Turn | None]:
    """The turn before each step of a walk; the first needs the heading that one comes with."""
    by_id = {node.id: node for node in scene.nodes}
    taken: list[Turn | None] = []
    for here, there in pairwise(nodes):
        after = bearing(scene, by_id[here], by_id[there])
        taken.append(None if heading is None or after is None else turn(heading, after))
        heading = after
    return taken


def seen_from(scene: Scene, node: str) -> list[Entity]:
    """What the scene says is seen there."""
    (here,) = (known for known in scene.nodes if known.id == node)
    return [scene.entity(id) for id in here.entities]


def depends(one: Action, other: Action) -> bool:
    """Whether their order matters: they act on one thing, or open what the other one uses."""
    if not one.objects or not other.objects:
        return False
    opens = {"open", "close"} & {one.verb, other.verb}
    return one.objects[0] == other.objects[0] or bool(
        opens and set(one.objects) & set(other.objects)
    )


def out_of_order(scene: Scene, told: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of actions told in the wrong order, where it matters: (told before, told after).

    told: places in `scene.actions`, in the order of telling. What the plan does twice is passed
    over, as either time may be meant.
    """
    times = Counter((action.verb, action.objects[:1]) for action in scene.actions)
    once = [n for n in told if times[scene.actions[n].verb, scene.actions[n].objects[:1]] == 1]
    return [
        (before, after)
        for number, before in enumerate(once)
        for after in once[number + 1 :]
        if after < before and depends(scene.actions[before], scene.actions[after])
    ]
