"""A flat as a graph of places to stand, with a task in it."""

from llava_jax.instruct.scene import (
    Action,
    Edge,
    Entity,
    Exhaustive,
    Frame,
    Node,
    Scene,
    Text,
)
from llava_jax.instruct.teacher.few_shots.example import Example, turns
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS

FLAT = Scene(
    id="flat",
    source="invented",
    license="Apache-2.0",
    modality="embodied",
    frame=Frame(up="+z"),
    texts=(Text("instruction", "Fetch the watering can and water the flowers on the balcony."),),
    entities=(
        Entity("fridge", id="fridge", affordances=("open", "close"), states=("closed",)),
        Entity("watering can", id="can", affordances=("pick up",), states=("full",)),
        Entity("sofa", id="sofa", affordances=("sit on",)),
        Entity("window", id="window", affordances=("open", "close"), states=("open",)),
        Entity("flowers", id="flowers", affordances=("water",), states=("dry",)),
    ),
    nodes=(
        Node("1", (0.0, 0.0, 0.0), "front door"),
        Node("2", (3.0, 0.0, 0.0), "hall"),
        Node("3", (3.0, 4.0, 0.0), "kitchen", ("fridge", "can")),
        Node("4", (6.0, 0.0, 0.0), "living room", ("sofa", "window")),
        Node("5", (6.0, 5.0, 0.0), "balcony", ("flowers",)),
    ),
    edges=(
        Edge("1", "2", 3.0),
        Edge("2", "3", 4.0),
        Edge("2", "4", 3.0),
        Edge("3", "5", 3.2),
        Edge("4", "5", 5.0),
    ),
    actions=(
        Action("go to", node="2"),
        Action("go to", node="3"),
        Action("pick up", ("can",)),
        Action("go to", node="5"),
        Action("water", ("flowers",)),
    ),
    exhaustive=Exhaustive(everything=True, edges=True),
    attributes={"start": "1"},
)

EXAMPLES = (
    Example(
        FLAT,
        responses={
            "conversation": turns(
                (
                    "Where can I go directly from the hall?",
                    "From the hall you can go to the front door, to the kitchen and to the living "
                    "room.",
                ),
                (
                    "How far is it from the front door to the kitchen?",
                    "It is 7 metres, through the hall.",
                ),
                (
                    "Which way from the hall to the balcony is the shorter one?",
                    "The way through the kitchen: it takes 7.2 metres, and the way through the "
                    "living room takes 8 metres.",
                ),
                ("Where is the sofa?", "The sofa is in the living room."),
                (
                    "What can be done with the watering can?",
                    "The watering can can be picked up. It is full.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["embodied"][0],
                    "It is a flat of five places. The front door leads to a hall, 3 metres away. "
                    "From the hall one can go to the kitchen, 4 metres away, and to the living "
                    "room, 3 metres away. The balcony can be reached from the kitchen, 3.2 metres "
                    "away, and from the living room, 5 metres away.\n\n"
                    "In the kitchen there are a closed fridge, which can be opened, and a full "
                    "watering can, which can be picked up. The living room has a sofa to sit on "
                    "and an open window, which can be closed. On the balcony there are flowers. "
                    "They are dry and can be watered.",
                )
            ),
            "plan": turns(
                (
                    "I am at the front door, and the flowers on the balcony are dry. What should I "
                    "do?",
                    "1. Go from the front door to the hall (3 metres).\n"
                    "2. Go on to the kitchen (4 metres).\n"
                    "3. Pick up the watering can. It is full, so there is no need to fill it.\n"
                    "4. Go to the balcony (3.2 metres).\n"
                    "5. Water the flowers.\n\n"
                    "That makes 10.2 metres in all. The kitchen comes first because the watering "
                    "can is there, and from there the balcony is close, so the living room can be "
                    "left aside.",
                )
            ),
        },
    ),
)
