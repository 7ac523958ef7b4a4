"""Houses for tests: places on a map, x to the right and y ahead, and a task to do there."""

import math
from collections.abc import Mapping

from llava_jax.instruct.scene import Action, Edge, Entity, Exhaustive, Frame, Node, Scene

# From the hall straight ahead to the stairs; the kitchen is left of them, the bedroom right.
PLACES = {
    "the hall": (0.0, 0.0),
    "the stairs": (0.0, 5.0),
    "the kitchen": (-4.0, 5.0),
    "the bedroom": (3.0, 5.0),
    "the pantry": (-4.0, 8.0),
    "the shed": (9.0, 9.0),
}
DOORS = (
    ("the hall", "the stairs"),
    ("the stairs", "the kitchen"),
    ("the stairs", "the bedroom"),
    ("the kitchen", "the pantry"),
)


def house(
    doors: tuple[tuple[str, str], ...] = DOORS,
    places: Mapping[str, tuple[float, float]] = PLACES,
    **changes,
) -> Scene:
    """From the hall, looking ahead, over the stairs to the kitchen; no way leads to the shed."""
    nodes = tuple(Node(f"n{i}", (*xy, 1.5), name) for i, (name, xy) in enumerate(places.items()))
    ids = {node.text: node.id for node in nodes}
    fields = {
        "id": "house",
        "source": "test",
        "license": "none",
        "modality": "embodied",
        "frame": Frame(up="+z", right="+x", forward="+y"),
        "nodes": nodes,
        "edges": tuple(Edge(ids[a], ids[b], math.dist(places[a], places[b])) for a, b in doors),
        "actions": (Action("go to", node="n1"), Action("go to", node="n2")),
        "exhaustive": Exhaustive(edges=True),
        "attributes": {"start": "n0", "heading": "0.0"},
    }
    return Scene(**(fields | changes))


EGG = Entity("egg", (1.0, 0.9, 0.0), id="egg", affordances=("pick up", "slice", "cool"))
FRIDGE = Entity("fridge", (3.0, 0.0, 0.0), id="fridge", affordances=("open",), states=("closed",))
KNIFE = Entity("knife", (0.0, 0.9, 0.0), id="knife", affordances=("pick up",))
SOFA = Entity("sofa", (5.0, 0.0, 0.0), id="sofa")


def task(**changes) -> Scene:
    """An egg is to be cooled in the fridge."""
    fields = {
        "id": "task",
        "source": "test",
        "license": "none",
        "modality": "embodied",
        "frame": Frame(up="+y", right="+x", forward="+z", handedness="left"),
        "entities": (EGG, FRIDGE, KNIFE, SOFA),
        "nodes": (
            Node("start", (0.0, 0.9, 0.0), "the start"),
            Node("a", (1.0, 0.9, -1.0), "the place at the egg", ("egg", "knife")),
            Node("b", (3.0, 0.9, -1.0), "the place at the fridge", ("fridge",)),
        ),
        "actions": (
            Action("go to", node="a", text="Walk to the counter."),
            Action("pick up", ("egg",), text="Take the egg."),
            Action("go to", node="b"),
            Action("open", ("fridge",)),
            Action("put", ("egg", "fridge")),
            Action("close", ("fridge",)),
        ),
        "exhaustive": Exhaustive(affordances=("open", "toggle", "slice", "cool", "pick up")),
        "attributes": {"start": "start", "heading": "90.0", "task": "cool"},
    }
    return Scene(**(fields | changes))
