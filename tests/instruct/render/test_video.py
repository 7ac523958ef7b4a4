"""What a teacher reads of a video, whole and in a few tokens."""

from llava_jax.instruct.render.rendering import estimated_tokens
from llava_jax.instruct.render.video import render_symbols
from llava_jax.instruct.scene import Entity, Event, Relation, Text
from tests.instruct.filmed import during, track_of, video_of

PERSON, CUP, BALL, OTHER = (
    Entity("person", id="p"),
    Entity("cup", id="c"),
    Entity("ball", id="b1"),
    Entity("ball", id="b2"),
)
SCENE = video_of(
    texts=(
        Text("caption", "A kitchen in the morning."),
        Text("narration", "Somebody yawns.", interval=during(2, 2)),
    ),
    entities=(PERSON, CUP, BALL, OTHER),
    events=(
        Event("drinks from a cup", during(9, 12.25), ("p", "c")),
        Event("fills a cup", during(1, 8), ("p", "c")),
        Event("It rains.", during(0, 30)),
    ),
    relations=(Relation("p", "holding", "c", during(1, 12)), Relation("p", "near", "c")),
    tracks=(
        track_of("b1", (0.2, 0.5), (0.4, 0.5), (0.6, 0.5), sizes=(0.1, 0.15, 0.2)),
        track_of("c", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
        track_of("p", (0.2, 0.5), (0.6, 0.5), (0.2, 0.5)),
    ),
)
WHOLE = """\
Length: 60 s
A kitchen in the morning.

Captions of moments:
[2 s] Somebody yawns.

Events:
E1 [0-30 s] It rains.
E2 [1-8 s] fills a cup (person, cup)
E3 [9-12.2 s] drinks from a cup (person, cup)

Events that share time:
E1 goes on throughout E2
E1 goes on throughout E3

Motion in the image:
ball b1 moves to the right and nearer to the camera [0-2 s]
cup stays where it is [0-2 s]

Relations:
person holding cup [1-12 s]

Certain order:
E2 before E3"""


def test_everything_that_is_certain_is_told() -> None:
    rendered = render_symbols(SCENE)
    assert rendered.text == WHOLE
    assert rendered.left_out == ()


def test_a_budget_is_kept_and_says_what_it_left_out() -> None:
    for budget in range(0, estimated_tokens(WHOLE), 9):
        rendered = render_symbols(SCENE, budget)
        assert estimated_tokens(rendered.text) <= budget
        assert rendered.left_out
    few = render_symbols(SCENE, 40)
    assert few.text.endswith("E2 [1-8 s] fills a cup (person, cup)")
    assert few.left_out == (
        "1 of 3 events",
        "2 of 2 relations in time",
        "2 of 2 motions",
        "1 of 1 relations",
        "1 of 1 pairs in order",
    )


def test_the_order_of_a_chain_is_told_by_its_links() -> None:
    scene = video_of(("c", 20, 30), ("a", 0, 10), ("b", 10, 18))
    assert render_symbols(scene).text.endswith(
        "Events that share time:\nE1 ends as E2 begins\n\n"
        "Certain order:\nE1 before E2\nE2 before E3"
    )


def test_a_video_of_nothing_is_empty() -> None:
    assert render_symbols(video_of(duration=0.0)).text == ""
