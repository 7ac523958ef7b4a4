"""Two videos: one of events that overlap in time, one of things that move."""

from llava_jax.instruct.scene import (
    Box,
    Entity,
    Event,
    Exhaustive,
    Interval,
    Scene,
    Track,
    captions,
)
from llava_jax.instruct.teacher.few_shots.example import Example, turns
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS

KETTLE = Scene(
    id="kettle",
    source="invented",
    license="Apache-2.0",
    modality="video",
    duration=30.0,
    texts=captions("A man prepares a cup of hot lemon water in a kitchen."),
    entities=(
        Entity("man", id="man"),
        Entity("kettle", id="kettle"),
        Entity("lemon", id="lemon"),
        Entity("cup", id="cup"),
    ),
    events=(
        Event("the man fills the kettle with water", Interval(0.0, 5.0), ("man", "kettle"), "fill"),
        Event("the kettle heats the water", Interval(6.0, 20.0), ("kettle",), "heat"),
        Event("the man cuts the lemon", Interval(9.0, 16.0), ("man", "lemon"), "cut"),
        Event(
            "the man pours hot water into the cup",
            Interval(21.0, 25.0),
            ("man", "kettle", "cup"),
            "pour",
        ),
        Event(
            "the man drops a slice of lemon into the cup",
            Interval(26.0, 29.0),
            ("man", "lemon", "cup"),
            "drop",
        ),
    ),
    exhaustive=Exhaustive(events=True),
)


def _track(entity: str, size: float, *places: tuple[float, float]) -> Track:
    """A thing that moves across at one height; places: (seconds, centre x)."""
    half = size / 2
    boxes = [(second, Box(x - half, 0.8 - size, x + half, 0.8)) for second, x in places]
    return Track(entity, tuple(boxes))


YARD = Scene(
    id="yard",
    source="invented",
    license="Apache-2.0",
    modality="video",
    duration=12.0,
    texts=captions("A boy plays with a ball and a dog in a yard."),
    entities=(Entity("boy", id="boy"), Entity("ball", id="ball"), Entity("dog", id="dog")),
    events=(
        Event("the boy kicks the ball", Interval(1.0, 2.0), ("boy", "ball"), "kick"),
        Event("the ball rolls across the yard", Interval(2.0, 6.0), ("ball",), "roll"),
        Event("the dog runs after the ball", Interval(3.0, 8.0), ("dog", "ball"), "run"),
        Event("the dog picks up the ball", Interval(8.0, 9.0), ("dog", "ball"), "pick"),
        Event("the boy claps his hands", Interval(10.0, 12.0), ("boy",), "clap"),
    ),
    tracks=(
        _track("boy", 0.3, (0.0, 0.2), (6.0, 0.2), (12.0, 0.2)),
        _track("ball", 0.06, (1.0, 0.3), (3.0, 0.55), (6.0, 0.85)),
        _track("dog", 0.16, (3.0, 0.15), (5.0, 0.45), (8.0, 0.8)),
    ),
    exhaustive=Exhaustive(events=True),
)

EXAMPLES = (
    Example(
        KETTLE,
        responses={
            "conversation": turns(
                ("What does the man do first?", "First, he fills the kettle with water."),
                (
                    "What does he do while the water is being heated?",
                    "He cuts the lemon while the kettle heats the water.",
                ),
                ("How long does he cut the lemon?", "He cuts it for about seven seconds."),
                (
                    "Does he pour the water before or after cutting the lemon?",
                    "He pours the hot water into the cup after cutting the lemon.",
                ),
                (
                    "What is the last thing that happens?",
                    "At the end, the man drops a slice of lemon into the cup.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["video"][0],
                    "In a kitchen, a man prepares a cup of hot lemon water. He begins by filling a "
                    "kettle with water, which takes about five seconds. Then the kettle heats the "
                    "water, and while it does so, he cuts a lemon. He is done with the lemon "
                    "before the water is ready.\n\n"
                    "After that, he pours the hot water into the cup, and in the last seconds of "
                    "the video he drops a slice of lemon into it.",
                )
            ),
            "temporal": turns(
                (
                    "Why does the man not have to wait for the lemon once the water is hot?",
                    "He fills the kettle first and lets it heat the water on its own. That takes "
                    "about 14 seconds, and he uses this time to cut the lemon. He finishes cutting "
                    "about four seconds before the heating ends, so when he pours the hot water "
                    "into the cup, the slices are ready and he can drop one in right afterwards.",
                )
            ),
        },
    ),
    Example(
        YARD,
        responses={
            "conversation": turns(
                ("Who sets the ball in motion?", "The boy does: he kicks it."),
                (
                    "In which direction does the ball roll?",
                    "It rolls from the left to the right across the yard.",
                ),
                (
                    "Does the dog start to run before or after the boy kicks the ball?",
                    "The dog starts to run after the boy kicks the ball.",
                ),
                ("Does the boy run along?", "No, he stays where he is, on the left side."),
                (
                    "What happens right after the dog's run?",
                    "The dog picks up the ball.",
                ),
            ),
            "detail": turns(
                (
                    DETAIL_QUESTIONS["video"][0],
                    "A boy, a ball and a dog are in a yard. The boy stands on the left and kicks "
                    "the ball, which rolls to the right across the yard. While the ball is still "
                    "rolling, the dog runs after it in the same direction.\n\n"
                    "On the right side, the dog picks up the ball. The boy has stayed on the left "
                    "all the time, and the video ends with him clapping his hands.",
                )
            ),
            "temporal": turns(
                (
                    "What may the boy be clapping for, and what made it possible?",
                    "He claps his hands after the dog picks up the ball, so he most likely cheers "
                    "for that. It began with his own kick: it made the ball roll to the right, and "
                    "the rolling ball made the dog run after it. The dog reached the ball only "
                    "after it had stopped rolling, and could then pick it up.",
                )
            ),
        },
    ),
)
