"""What a teacher reads of a room, whole and under a budget."""

from dataclasses import replace

from llava_jax.instruct.render.rendering import estimated_tokens
from llava_jax.instruct.render.space import render_symbols
from llava_jax.instruct.scene import Entity, Relation
from tests.instruct.rooms import STUDY, mirrored, room

CUP = Entity("cup", None, {"color": "red"}, id="c", affordances=("drinking",), states=("full",))


def study() -> str:
    scene = room(*STUDY, relations=(Relation("4", "standing on", "3"),))
    return render_symbols(replace(scene, entities=(*scene.entities, CUP))).text


def test_a_room_in_words() -> None:
    lines = study().split("\n")
    assert lines[0] == "Coordinates (x, y, z) are metres, right-handed; up is +z."
    assert "desk: centre (2.00, 2.50, 0.38), 0.80 x 1.60 m, 0.75 m high" in lines
    assert "cup: color red; state full; allows drinking" in lines
    assert "lamp standing on desk" in lines and "lamp rests on desk" not in lines
    assert "sofa rests on floor" in lines
    assert any(line.startswith("farthest to the window: the door, 6.6 m") for line in lines)


def test_the_view_is_stated_and_mirrors() -> None:
    seen = "Seen standing at the door and looking into the room:\n"
    assert seen + "left, nearest first: sofa\nright, nearest first: desk, lamp\n" in study()
    assert "screen hides most of plant" in study()
    mirror = render_symbols(mirrored(room(*STUDY))).text
    assert seen + "left, nearest first: desk, lamp\nright, nearest first: sofa\n" in mirror


def test_things_of_one_name_get_numbers() -> None:
    text = render_symbols(room(STUDY[1], STUDY[1])).text
    assert "door 1: centre" in text and "door 2: centre" in text


def test_a_budget_keeps_things_and_says_what_is_left_out() -> None:
    rendered = render_symbols(room(*STUDY), budget=150)
    assert estimated_tokens(rendered.text) <= 150
    assert "window: centre" in rendered.text and "Distances" not in rendered.text
    assert any(part.endswith("distances") for part in rendered.left_out)
    assert render_symbols(room(*STUDY)).left_out == ()
