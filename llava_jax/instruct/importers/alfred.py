"""ALFRED: household tasks as plans over the things of a room, with people's words for each step.

Format: github.com/askforalfred/alfred, data/README.md. Coordinates are AI2-THOR's: left-handed
metres with y up; a rotation of 0 degrees looks along z and grows when one turns right.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.alfred_kinds import AFFORDANCES, CARRIED
from llava_jax.instruct.importers.reading import Flaw, finite, get, get_number, get_text, read_json
from llava_jax.instruct.scene import (
    Action,
    Entity,
    Exhaustive,
    Frame,
    Node,
    Point,
    Scene,
    Text,
)
from llava_jax.problems import Problems

SOURCE = "ALFRED"
LICENSE = "MIT"
FRAME = Frame(up="+y", right="+x", forward="+z", handedness="left")
STEP = 0.25  # metres: the plan's grid, in whose steps it counts
SAME = 0.1  # metres: a plan's thing that lies so near to a listed one of its type is that one
CARRY = "pick up"

VERBS = {
    "GotoLocation": "go to",
    "PickupObject": CARRY,
    "PutObject": "put",
    "OpenObject": "open",
    "CloseObject": "close",
    "CleanObject": "clean",
    "HeatObject": "heat",
    "CoolObject": "cool",
    "ToggleObject": "toggle",
    "SliceObject": "slice",
}


def read_scenes(folder: Path, problems: Problems) -> list[Scene]:
    """One scene per traj_data.json in the folder and the folders below, by their paths.

    Its things are those that can be carried, which the file lists, and those that the plan uses;
    nodes are the start and where the plan goes. Its attributes tell the "task", the "room", the
    "start" node and the "heading" there, in degrees to the right of the frame's forward.

    Raises UserError where there is no such file or none can be used.
    """
    files = sorted(folder.rglob("traj_data.json"))
    if not files:
        raise UserError(f"there is no traj_data.json below {folder}; give ALFRED's json_2.1.0")
    scenes: dict[str, Scene] = {}
    for file in files:
        where = str(file.relative_to(folder))
        try:
            scene = _Trajectory(read_json(file, "ALFRED's traj_data.json"), where, problems).scene()
            if scene.id in scenes:
                raise Flaw("trajectory whose id is taken")
            scenes[scene.id] = scene
        except (Flaw, UserError) as flaw:
            unread = isinstance(flaw, UserError)
            problems.note("file that is not JSON" if unread else str(flaw), where)
    if not scenes:
        raise UserError(f"no traj_data.json below {folder} can be used; give ALFRED's json_2.1.0")
    return list(scenes.values())


def label_of(kind: str) -> str:
    """ "ButterKnife" -> "butter knife", "TVStand" -> "tv stand"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", kind).lower()


class _Trajectory:
    """One file on its way to a scene: things and nodes come up as the plan is read."""

    def __init__(self, content: Any, where: str, problems: Problems) -> None:
        self.content, self.where, self.problems = content, where, problems
        self.place = get(content, "scene", dict)
        self.entities: dict[str, Entity] = {}
        self.nodes: dict[str, Node] = {}
        self.held = ""

    def scene(self) -> Scene:
        self._read_poses()
        start, heading = self._start()
        actions = self._actions()
        texts = [get_text(entry, "task_desc") for entry in self._annotations()]
        return Scene(
            id=get_text(self.content, "task_id"),
            source=SOURCE,
            license=LICENSE,
            modality="embodied",
            frame=FRAME,
            texts=tuple(Text("instruction", text) for text in texts),
            entities=tuple(self.entities.values()),
            nodes=tuple(self._described(node) for node in self.nodes.values()),
            actions=tuple(actions),
            exhaustive=Exhaustive(
                labels=tuple(map(label_of, CARRIED)), affordances=(*AFFORDANCES, CARRY)
            ),
            attributes={
                "task": get_text(self.content, "task_type"),
                "room": get_text(self.place, "floor_plan"),
                "start": start,
                "heading": heading,
            },
        )

    def _read_poses(self) -> None:
        toggles = {
            get(toggle, "objectType", str): "on" if get(toggle, "isOn", bool) else "off"
            for toggle in get(self.place, "object_toggles", list)
        }
        self.states = {kind: (state,) for kind, state in toggles.items()}
        for number, pose in enumerate(get(self.place, "object_poses", list)):
            try:
                kind = get_text(pose, "objectName").split("_")[0]
                position = _position(get(pose, "position", dict))
            except Flaw as flaw:
                self.problems.note(str(flaw), f"{self.where} object {number}")
                continue
            if self._find(kind, position, SAME):
                self.problems.note("two things in one place", f"{self.where} object {number}")
            else:
                self._add(kind, position, (CARRY,))

    def _add(self, kind: str, position: Point, affordances: tuple[str, ...] = ()) -> str:
        """A new thing, under the id that AI2-THOR builds: "DeskLamp|-00.40|+00.69|-01.67"."""
        id = "|".join([kind, *(f"{value:+06.2f}" for value in position)])
        possible = (verb for verb, kinds in AFFORDANCES.items() if kind in kinds)
        self.entities[id] = Entity(
            label=label_of(kind),
            place=position,
            id=id,
            affordances=(*affordances, *possible),
            states=self.states.get(kind, ()),
        )
        return id

    def _find(self, kind: str, position: Point, reach: float) -> str:
        """The id of the nearest thing of that type within `reach` metres; "" without one."""
        near = [
            (math.dist(entity.position, position), id)
            for id, entity in self.entities.items()
            if entity.label == label_of(kind)
        ]
        distance, id = min(near, default=(math.inf, ""))
        return id if distance <= reach else ""

    def _start(self) -> tuple[str, str]:
        action = get(self.place, "init_action", dict)
        position = _position(action)
        self.height = position[1]
        self.nodes["start"] = Node("start", position)
        return "start", str(get_number(action, "rotation"))

    def _annotations(self) -> list[Any]:
        return get(get(self.content, "turk_annotations", dict), "anns", list)

    def _actions(self) -> list[Action]:
        words = next((get(entry, "high_descs", list) for entry in self._annotations()), [])
        actions, here = [], "start"
        for number, step in enumerate(get(get(self.content, "plan", dict), "high_pddl", list)):
            discrete, planned = (
                get(step, "discrete_action", dict),
                get(step, "planner_action", dict),
            )
            name = get_text(discrete, "action")
            if name in ("NoOp", "End"):
                continue
            if name not in VERBS:
                raise Flaw(f"step of an unknown kind {name}")
            text = " ".join(str(words[number]).split()) if number < len(words) else ""
            if name == "GotoLocation":
                here = self._go(planned, discrete)
                actions.append(Action("go to", node=here, text=text))
                continue
            objects = self._objects(planned, discrete)
            actions.append(Action(VERBS[name], objects, text=text))
            self._seen(here, objects)
            if VERBS[name] == CARRY:
                self.held = objects[0]
        return actions

    def _go(self, planned: Any, discrete: Any) -> str:
        """Adds the node of "loc|x|z|quarter turns|tilt", x and z in steps of the grid."""
        location = get_text(planned, "location")
        try:
            _, x, z, *_ = location.split("|")
            position = int(x) * STEP, self.height, int(z) * STEP
        except ValueError as error:
            raise Flaw("location that is not loc|x|z|...") from error
        goal = str(next(iter(get(discrete, "args", list)), "")).lower()
        self.nodes.setdefault(location, Node(location, position, goal))
        return location

    def _described(self, node: Node) -> Node:
        """Its text becomes words; called when all things are known, as goals are "diningtable"."""
        labels = {entity.label.replace(" ", ""): entity.label for entity in self.entities.values()}
        goal = labels.get(node.text, node.text)
        return replace(node, text=f"the place at the {goal}" if goal else "the start")

    def _objects(self, planned: Any, discrete: Any) -> tuple[str, ...]:
        """What is acted on, then where; heating and cooling name only the type of the first."""
        keys = ("coordinateObjectId", "coordinateReceptacleObjectId")
        objects = [self._object(planned[key]) for key in keys if key in planned]
        if "coordinateObjectId" not in planned:
            objects.insert(0, self._named(str(next(iter(get(discrete, "args", list)), ""))))
        return tuple(dict.fromkeys(objects))

    def _named(self, kind: str) -> str:
        """The thing of that type, in lower case as "butterknife", that is held or the only one."""
        ids = [i for i, e in self.entities.items() if e.label.replace(" ", "") == kind.lower()]
        if self.held in ids:
            return self.held
        if len(ids) != 1:
            raise Flaw("step whose thing is not clear")
        return ids[0]

    def _object(self, entry: Any) -> str:
        """[type, [x, x, z, z, y, y]], in steps of the grid."""
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise Flaw("thing of a step that is not [type, place]")
        numbers = (
            [finite(n, "place") * STEP for n in entry[1]] if isinstance(entry[1], list) else []
        )
        if len(numbers) != 6:
            raise Flaw("thing of a step that is not [type, place]")
        position = (numbers[0], numbers[4], numbers[2])
        kind = entry[0].removesuffix("Sliced")  # a slice is told by the thing it is of
        reach = SAME if kind == entry[0] else math.inf
        return self._find(kind, position, reach) or self._add(kind, position)

    def _seen(self, node: str, objects: tuple[str, ...]) -> None:
        """An agent acts only on what it sees from where it stands."""
        seen = dict.fromkeys((*self.nodes[node].entities, *objects))
        self.nodes[node] = replace(self.nodes[node], entities=tuple(seen))


def _position(place: Any) -> Point:
    return get_number(place, "x"), get_number(place, "y"), get_number(place, "z")
