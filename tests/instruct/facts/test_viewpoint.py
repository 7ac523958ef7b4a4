"""What a viewer sees, in both handednesses, with any axis up, and in a mirror."""

from dataclasses import replace

import pytest

from llava_jax.instruct.facts import viewpoint
from llava_jax.instruct.facts.viewpoint import Viewpoint
from llava_jax.instruct.scene import Cuboid, Frame, Scene
from tests.instruct.rooms import STUDY, mirrored, named, room

STUDY_ROOM = room(*STUDY)


def y_up(scene: Scene) -> Scene:
    """The same room in the left-handed coordinates of a game engine: y up, z forward."""

    def swap(box: Cuboid) -> Cuboid:
        (x, y, z), (w, d, h) = box.center, box.size
        return Cuboid((x, z, y), (w, h, d))

    entities = tuple(replace(entity, place=swap(entity.cuboid)) for entity in scene.entities)
    return replace(scene, entities=entities, frame=Frame(up="+y", handedness="left"))


def from_door(scene: Scene) -> Viewpoint:
    view = viewpoint.look(scene, named(scene, "door"))
    assert view is not None
    return view


@pytest.mark.parametrize("scene", [STUDY_ROOM, y_up(STUDY_ROOM)], ids=["z up", "y up"])
def test_sides_of_the_viewer_and_of_things(scene: Scene) -> None:
    view = from_door(scene)
    sides = {label: viewpoint.place(view, named(scene, label)) for label in ("sofa", "desk")}
    assert sides == {"sofa": "left", "desk": "right"}
    assert viewpoint.place(view, named(scene, "window")) == "ahead"
    assert viewpoint.place(view, named(scene, "door")) is None
    sofa, plant = named(scene, "sofa"), named(scene, "plant")
    assert viewpoint.lies(view, sofa, "left", plant) is True
    assert viewpoint.lies(view, sofa, "right", plant) is False
    assert viewpoint.lies(view, plant, "right", sofa) is True


def test_from_the_other_side_left_and_right_are_exchanged() -> None:
    back = viewpoint.look(STUDY_ROOM, named(STUDY_ROOM, "window"), named(STUDY_ROOM, "door"))
    assert back is not None
    assert viewpoint.place(back, named(STUDY_ROOM, "sofa")) == "right"
    assert back.words == "standing at the window and looking at the door"


def test_a_mirror_exchanges_left_and_right_and_nothing_else() -> None:
    image = mirrored(STUDY_ROOM)
    here, there = from_door(STUDY_ROOM), from_door(image)
    for a in STUDY_ROOM.entities:
        for b in STUDY_ROOM.entities:
            mirror = named(image, a.label), named(image, b.label)
            for way, opposite in (("left", "right"), ("in front", "in front")):
                assert viewpoint.lies(here, a, way, b) is viewpoint.lies(
                    there, mirror[0], opposite, mirror[1]
                )
            assert viewpoint.hides(here, a, b) is viewpoint.hides(there, *mirror)


def test_in_front_needs_one_line_of_sight() -> None:
    view = from_door(STUDY_ROOM)
    screen, plant, sofa = (named(STUDY_ROOM, label) for label in ("screen", "plant", "sofa"))
    assert viewpoint.lies(view, screen, "in front", plant) is True
    assert viewpoint.lies(view, screen, "behind", plant) is False
    assert viewpoint.lies(view, plant, "behind", screen) is True
    assert viewpoint.lies(view, sofa, "in front", plant) is None


def test_the_nearer_of_two_in_line_hides_the_other() -> None:
    view = from_door(STUDY_ROOM)
    screen, plant, sofa = (named(STUDY_ROOM, label) for label in ("screen", "plant", "sofa"))
    assert viewpoint.hides(view, screen, plant) is True
    assert viewpoint.hides(view, plant, screen) is False
    assert viewpoint.hides(view, sofa, plant) is False
    back = viewpoint.look(STUDY_ROOM, named(STUDY_ROOM, "window"), named(STUDY_ROOM, "door"))
    assert back is not None
    assert viewpoint.hides(back, screen, plant) is False


def test_what_is_behind_the_viewer_has_no_left_and_right() -> None:
    view = viewpoint.look(STUDY_ROOM, named(STUDY_ROOM, "plant"), named(STUDY_ROOM, "window"))
    assert view is not None
    sofa, desk, screen = (named(STUDY_ROOM, label) for label in ("sofa", "desk", "screen"))
    assert viewpoint.lies(view, sofa, "left", desk) is None
    assert viewpoint.place(view, screen) == "behind"


def test_the_viewpoint_is_the_door_or_the_outermost_thing() -> None:
    view = viewpoint.chosen_viewpoint(STUDY_ROOM)
    assert view is not None
    assert view.words == "standing at the door and looking into the room"
    assert view.eyes[2] == pytest.approx(1.5)  # the floor's box begins 0.1 m below 0
    without = room(*(thing for thing in STUDY if thing[0] != "door"))
    view = viewpoint.chosen_viewpoint(without)
    assert view is not None and view.standing == "window"
    assert viewpoint.chosen_viewpoint(room(STUDY[0], STUDY[1])) is None
