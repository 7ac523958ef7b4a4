"""ALFRED trajectories of the real layout with an invented task, good and bad."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.alfred import label_of, read_scenes
from llava_jax.instruct.scene import Action, Entity, Frame, Node, Scene
from llava_jax.problems import Problems


def place(kind: str, x: float, y: float, z: float) -> list:
    """As plans write it: x, x, z, z, y, y in steps of 0.25 m."""
    return [kind, [4 * x, 4 * x, 4 * z, 4 * z, 4 * y, 4 * y]]


def pose(name: str, x: float, y: float, z: float) -> dict:
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {"objectName": name, "position": {"x": x, "y": y, "z": z}, "rotation": zero}


def step(number: int, action: str, args: list, **planned: Any) -> dict:
    return {
        "high_idx": number,
        "discrete_action": {"action": action, "args": args},
        "planner_action": {"action": action} | planned,
    }


EGG, FRIDGE = place("Egg", -1.0, 0.9, 2.0), place("Fridge", 2.0, 0.0, 1.0)
TRAJECTORY = {
    "task_id": "trial_1",
    "task_type": "pick_cool_then_place_in_recep",
    "pddl_params": {"object_target": "Egg"},
    "images": [],
    "scene": {
        "floor_plan": "FloorPlan7",
        "init_action": {
            "action": "TeleportFull",
            "horizon": 30,
            "rotateOnTeleport": True,
            "rotation": 90,
            "x": 0.5,
            "y": 0.9,
            "z": -1.0,
        },
        "object_poses": [
            pose("Egg_afaaaca3", -1.0, 0.9, 2.0),
            pose("Egg_afaaaca3", 1.0, 0.9, 2.0),  # copies share their name
            pose("ButterKnife_1", 0.0, 0.9, 2.0),
        ],
        "object_toggles": [{"objectType": "DeskLamp", "isOn": False}],
    },
    "turk_annotations": {
        "anns": [
            {
                "task_desc": "Chill an egg. ",
                "high_descs": ["Walk to the counter.", "Take the egg.", "Face the fridge."],
                "votes": [1],
            }
        ]
    },
    "plan": {
        "high_pddl": [
            step(0, "GotoLocation", ["egg"], location="loc|-4|6|0|45"),
            step(1, "PickupObject", ["egg"], objectId="Egg|..", coordinateObjectId=EGG),
            step(2, "GotoLocation", ["fridge"], location="loc|6|4|1|30"),
            step(3, "CoolObject", ["egg"], coordinateReceptacleObjectId=FRIDGE),
            step(
                4,
                "PutObject",
                ["egg", "fridge"],
                coordinateObjectId=EGG,
                coordinateReceptacleObjectId=FRIDGE,
            ),
            step(5, "NoOp", []),
        ],
        "low_actions": [],
    },
}


def read(folder: Path, problems: Problems, *trajectories: Any) -> list[Scene]:
    for number, trajectory in enumerate(trajectories):
        file = folder / f"task-{number}" / "trial" / "traj_data.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(trajectory))
    return read_scenes(folder, problems)


def changed(*path: Any, to: Any) -> Any:
    content = copy.deepcopy(TRAJECTORY)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return content


def test_reads_the_official_layout(tmp_path: Path) -> None:
    problems = Problems()
    (scene,) = read(tmp_path, problems, TRAJECTORY)
    assert (scene.id, scene.modality) == ("trial_1", "embodied")
    assert scene.frame == Frame(up="+y", right="+x", forward="+z", handedness="left")
    egg, other, knife, fridge = scene.entities
    assert egg == Entity(
        "egg",
        (-1.0, 0.9, 2.0),
        id="Egg|-01.00|+00.90|+02.00",
        affordances=("pick up", "slice", "heat", "cool", "clean"),
    )
    assert (other.label, knife.label) == ("egg", "butter knife")
    assert (fridge.position, fridge.affordances) == ((2.0, 0.0, 1.0), ("open",))
    assert scene.nodes == (
        Node("start", (0.5, 0.9, -1.0), "the start"),
        Node("loc|-4|6|0|45", (-1.0, 0.9, 1.5), "the place at the egg", (egg.id,)),
        Node("loc|6|4|1|30", (1.5, 0.9, 1.0), "the place at the fridge", (egg.id, fridge.id)),
    )
    assert scene.actions == (
        Action("go to", node="loc|-4|6|0|45", text="Walk to the counter."),
        Action("pick up", (egg.id,), text="Take the egg."),
        Action("go to", node="loc|6|4|1|30", text="Face the fridge."),
        Action("cool", (egg.id, fridge.id)),
        Action("put", (egg.id, fridge.id)),
    )
    assert scene.attributes == {
        "task": "pick_cool_then_place_in_recep",
        "room": "FloorPlan7",
        "start": "start",
        "heading": "90.0",
    }
    assert [text.text for text in scene.texts] == ["Chill an egg."]
    assert "open" in scene.exhaustive.affordances
    assert not problems.counts


@pytest.mark.parametrize(
    ("kind", "label"),
    [("ButterKnife", "butter knife"), ("TVStand", "tv stand"), ("CD", "cd"), ("Mug", "mug")],
)
def test_type_names_become_words(kind: str, label: str) -> None:
    assert label_of(kind) == label


def test_a_lamp_knows_whether_it_is_on(tmp_path: Path) -> None:
    lamp = step(0, "ToggleObject", ["desklamp"], coordinateObjectId=place("DeskLamp", 1, 1, 1))
    (scene,) = read(tmp_path, Problems(), changed("plan", "high_pddl", to=[lamp]))
    assert (scene.entities[-1].states, scene.entities[-1].affordances) == (("off",), ("toggle",))


def test_a_slice_is_told_by_the_thing_that_it_is_of(tmp_path: Path) -> None:
    sliced = step(0, "PickupObject", ["egg"], coordinateObjectId=place("EggSliced", -1.3, 0.9, 2.0))
    (scene,) = read(tmp_path, Problems(), changed("plan", "high_pddl", to=[sliced]))
    assert scene.actions == (
        Action("pick up", ("Egg|-01.00|+00.90|+02.00",), text="Walk to the counter."),
    )


PLAN = ("plan", "high_pddl")


@pytest.mark.parametrize(
    ("path", "to", "problem"),
    [
        (("task_id",), None, "task_id that is not text"),
        (("scene", "init_action", "x"), "0", "x that is not a number"),
        (("plan",), {}, "missing high_pddl"),
        ((*PLAN, 0, "discrete_action", "action"), "Fly", "step of an unknown kind Fly"),
        ((*PLAN, 0, "planner_action", "location"), "x", "location that is not loc"),
        ((*PLAN, 1, "planner_action", "coordinateObjectId"), ["Egg", [1]], "thing of"),
        ((*PLAN, 1, "planner_action"), {}, "step whose thing is not clear"),
        (("turk_annotations", "anns"), [{}], "missing high_descs"),
    ],
)
def test_bad_trajectories_are_set_aside(
    tmp_path: Path, path: tuple, to: object, problem: str
) -> None:
    problems = Problems()
    bad = changed(*path, to=to)
    assert len(read(tmp_path, problems, bad, TRAJECTORY, TRAJECTORY)) == 1
    assert problems.counts.pop("trajectory whose id is taken") == 1
    (kind,) = problems.counts
    assert kind.startswith(problem)


def test_bad_things_are_left_out(tmp_path: Path) -> None:
    problems = Problems()
    poses = [*TRAJECTORY["scene"]["object_poses"], {}, pose("Egg_2", -1.0, 0.91, 2.0)]
    (scene,) = read(tmp_path, problems, changed("scene", "object_poses", to=poses))
    assert len(scene.entities) == 4
    assert problems.counts == {"missing objectName": 1, "two things in one place": 1}


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no traj_data"):
        read_scenes(tmp_path, Problems())
    with pytest.raises(UserError, match="can be used"):
        read(tmp_path, Problems(), {"images": []})
