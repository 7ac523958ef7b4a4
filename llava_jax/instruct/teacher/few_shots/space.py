"""A bedroom in metres, whose door is in the middle of one wall."""

from llava_jax.instruct.scene import Cuboid, Entity, Frame, Relation, Scene
from llava_jax.instruct.teacher.few_shots.example import Example, turns
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS

# Seen from the door (looking along +y) x grows to the right.
BEDROOM = Scene(
    id="bedroom",
    source="invented",
    license="Apache-2.0",
    modality="space",
    frame=Frame(up="+z"),
    entities=(
        Entity("floor", Cuboid((0.0, 2.5, -0.05), (5.0, 5.0, 0.1)), {"material": "wooden"}, id="1"),
        Entity("door", Cuboid((0.0, 0.0, 1.0), (0.9, 0.1, 2.0)), id="2", affordances=("open",)),
        Entity(
            "bed",
            Cuboid((-1.6, 3.0, 0.25), (1.4, 2.0, 0.5)),
            {"color": "blue"},
            id="3",
            affordances=("lie on", "sit on"),
        ),
        Entity("pillow", Cuboid((-1.6, 3.7, 0.56), (0.6, 0.4, 0.12)), {"color": "white"}, id="4"),
        Entity("desk", Cuboid((1.9, 2.2, 0.375), (0.7, 1.4, 0.75)), id="5"),
        Entity(
            "lamp", Cuboid((1.9, 2.6, 1.0), (0.25, 0.25, 0.5)), id="6", affordances=("turn on",)
        ),
        Entity("chair", Cuboid((0.9, 2.2, 0.45), (0.5, 0.5, 0.9)), id="7", affordances=("sit on",)),
        Entity("shelf", Cuboid((-0.1, 3.1, 0.5), (0.9, 0.35, 1.0)), id="8"),
        Entity("plant", Cuboid((-0.1, 4.3, 0.3), (0.4, 0.4, 0.6)), {"color": "green"}, id="9"),
        Entity("window", Cuboid((0.0, 4.95, 1.5), (1.4, 0.1, 1.2)), id="10", affordances=("open",)),
    ),
    relations=(
        Relation("4", "lying on", "3"),
        Relation("6", "standing on", "5"),
        *(Relation(id, "standing on", "1") for id in ("3", "5", "7", "8", "9")),
    ),
)

EXAMPLES = (
    Example(
        BEDROOM,
        responses={
            "conversation": turns(
                ("What stands on the desk?", "A lamp stands on the desk."),
                ("What color is the bed?", "The bed is blue."),
                (
                    "How far apart are the bed and the desk?",
                    "There are about 2.5 metres between the bed and the desk.",
                ),
                (
                    "I stand at the door and look into the room. On which side is the bed?",
                    "Seen from the door, the bed is on the left.",
                ),
                (
                    "Which is taller, the shelf or the bed?",
                    "The shelf is taller: it is about one metre high, and the bed about half a "
                    "metre.",
                ),
                (
                    "Where can I sit down?",
                    "You can sit on the chair or on the bed.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["space"][0],
                    "It is a bedroom with a wooden floor. Standing at the door and looking into "
                    "the room, you have a blue bed on the left with a white pillow lying on it. On "
                    "the right is a desk, on which a lamp stands, with a chair to the left of the "
                    "desk.\n\n"
                    "The window is straight ahead, about five metres from the door. A shelf about "
                    "one metre high stands on the way to it, and behind the shelf there is a green "
                    "plant.",
                )
            ),
            "viewpoint": turns(
                (
                    "I am standing at the door and looking into the room. What do I miss from "
                    "here, and what do I have to do to see it?",
                    "You miss the plant. It stands behind the shelf as seen from the door, and as "
                    "it is shorter than the shelf, the shelf hides it. The window further back can "
                    "still be seen, since it begins almost at the height of the shelf's top and "
                    "reaches far above it. Walk past the shelf, for example on its right side "
                    "between the shelf and the desk, and the plant comes into view.",
                )
            ),
        },
    ),
)
