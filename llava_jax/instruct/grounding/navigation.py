"""Ways between the places of a scene: how long, whether there is one, and where one turns.

Places are known by their names (`facts.navigation.node_names`): "the hall", "place 3".
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from llava_jax.instruct.facts import navigation as facts
from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.grounding.space import AMOUNT, distance_of
from llava_jax.instruct.grounding.statements import Statement, read_statements
from llava_jax.instruct.grounding.things import verdict_of
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "navigation"
_SOMEBODY = r"(?:one|you|we|people|somebody|someone|i)"
_CAN = r"(?P<can>can|cannot|can not|can['\u2019]t)"
_MOVE = r"(?:go|walk|get|move|continue|head|proceed)"
_CONDITION = re.compile(r"\b(?:if|unless|whether|were|would|could)\b", re.IGNORECASE)
_TURNS: dict[str, facts.Turn] = {
    "turn left": "left", "turn right": "right", "turn back": "back", "turn around": "back",
    "go straight on": "straight", "go straight ahead": "straight", "continue straight": "straight",
}  # fmt: skip

Names = Mapping[str, str]  # a place's name in lower case -> its node
Forms = Mapping[str, re.Pattern[str]]


def navigation(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges lengths of ways, distances, reachability and turns that answers state."""
    findings: list[Finding] = []
    if scene.modality != "embodied" or not (scene.edges or scene.exhaustive.edges):
        return findings
    names = {name.lower(): id for id, name in facts.node_names(scene).items()}
    forms = _forms(tuple(names))
    for statement in read_statements(turns):
        if statement.presupposed:
            continue
        for start, text in _sentences(statement.text):
            if _CONDITION.search(text):
                continue
            for judge in (_lengths, _distances, _reached):
                for found, truth, evidence in judge(scene, text, names, forms):
                    span = start + found.start(), start + found.end()
                    verdict = verdict_of(truth)
                    findings.append(statement.finding(RULE, verdict, *span, evidence))
        findings += _turns(scene, statement, names, forms)
    return findings


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """(place, sentence); a point within a number ends none."""
    for found in re.finditer(r"(?:[^.!?\n]|\.(?=\d))+", text):
        yield found.start(), found[0]


@lru_cache(maxsize=64)
def _forms(names: tuple[str, ...]) -> Forms:
    node = "(?:" + "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True)) + r")\b"
    a, b, c = (rf"(?P<{group}>{node})" for group in "abc")
    places = rf"(?P<b>{node}(?:(?:,|,? and) {node})*)"
    turn = "|".join(_TURNS)
    forms = {
        "length": rf"\b(?P<best>shortest |quickest )?(?:way|route|path|walk) from {a} to {b} is "
        rf"{AMOUNT}\b",
        "distance": rf"{a} is {AMOUNT}(?: away)? from {b}",
        "there": rf"\bthere is (?P<no>no|a) (?:direct )?(?:way|route|path) from {a} to {b}",
        "reached": rf"{b} {_CAN} be reached from {a}",
        "can": rf"\bfrom {a},? {_SOMEBODY} {_CAN} (?P<direct>directly )?(?:reach|{_MOVE}) "
        rf"(?P<direct2>directly )?(?:to )?{places}",
        "walk": rf"\b{_SOMEBODY} {_CAN} {_MOVE} (?P<direct>directly )?from {a} to {b}",
        "turn": rf"\b(?P<lead>at|from) {a},? (?P<turn>{turn})(?: and {_MOVE})? to {b}",
        "turn at": rf"\b(?P<turn>turn (?:left|right)) at {a} and {_MOVE} to {b}",
        "node": rf"\b{c}",
        "visited": rf"\b(?:to|into|from|at|in|reach|through|leave) {c}",
    }
    return {name: re.compile(form, re.IGNORECASE) for name, form in forms.items()}


Judged = Iterator[tuple[re.Match[str], bool | None, str]]


def _lengths(scene: Scene, text: str, names: Names, forms: Forms) -> Judged:
    """ "The shortest way from the hall to the den is 9 m long." """
    for found in forms["length"].finditer(text):
        start, end = (names[found[group].lower()] for group in "ab")
        best = facts.shortest_route(scene, start, end)
        if best is None:
            yield found, False if scene.exhaustive.edges else None, "no way leads there"
            continue
        claimed = distance_of(found)
        lengths = [best.length]
        own = facts.scene_route(scene)
        if not found["best"] and own and {own.nodes[0], own.nodes[-1]} == {start, end}:
            lengths.append(own.length)
        truths = [_about(claimed, length) for length in lengths]
        truth: bool | None = True if True in truths else None if None in truths else False
        if truth is False and not found["best"] and claimed > best.length:
            truth = None  # some other way may be as long
        if truth is False and not scene.exhaustive.edges and claimed < best.length:
            truth = None  # an unlisted way may be shorter
        yield found, truth, f"the shortest way is {best.length:.1f} m long"


def _about(claimed: float, actual: float) -> bool | None:
    slack = max(0.5, 0.1 * actual)
    miss = abs(claimed - actual)
    return True if miss <= slack else False if miss > 2 * slack else None


def _distances(scene: Scene, text: str, names: Names, forms: Forms) -> Judged:
    """ "Place 3 is 5 m from place 2": as the crow flies, or as one walks."""
    by_id = {node.id: node for node in scene.nodes}
    for found in forms["distance"].finditer(text):
        a, b = (by_id[names[found[group].lower()]] for group in "ab")
        route = facts.shortest_route(scene, a.id, b.id)
        if a.position is None or b.position is None:
            continue
        straight = math.dist(a.position, b.position)
        walked = route.length if route else straight
        claimed = distance_of(found)
        within = straight <= claimed <= walked
        truth = True if within else _about(claimed, straight if claimed < straight else walked)
        yield found, truth, f"{straight:.1f} m in a straight line, {walked:.1f} m to walk"


def _reached(scene: Scene, text: str, names: Names, forms: Forms) -> Judged:
    """ "There is no way from ... to ...", "from ... you can go directly to ... and ..." """
    near = facts.ways(scene)
    for form in ("there", "reached", "can", "walk"):
        for found in forms[form].finditer(text):
            groups = found.groupdict()
            start = names[found["a"].lower()]
            ends = [names[m["c"].lower()] for m in forms["node"].finditer(found["b"])]
            direct = groups.get("direct") or groups.get("direct2") or "direct " in found[0].lower()
            if direct:
                truth: bool | None = all(end in near[start] for end in ends)
            else:
                truth = all(facts.shortest_route(scene, start, end) for end in ends)
            if truth is False and not scene.exhaustive.edges:
                truth = None
            positive = groups.get("no", "a").lower() == "a"
            positive = positive and groups.get("can", "can").lower() == "can"
            if truth is not None and not positive:
                truth = not truth
            here = ", ".join(name for name, id in names.items() if id in near[start])
            yield found, truth, f"ways lead from there to {here or 'nowhere'}"


def _turns(scene: Scene, statement: Statement, names: Names, forms: Forms) -> Iterator[Finding]:
    """ "At the stairs, turn left and go to the den", coming from the place named before."""
    text = statement.text
    for form in ("turn", "turn at"):
        for found in forms[form].finditer(text):
            here, there = names[found["a"].lower()], names[found["b"].lower()]
            earlier = [
                names[m["c"].lower()] for m in forms["visited"].finditer(text[: found.start()])
            ]
            before = next((node for node in reversed(earlier) if node != here), None)
            truth, evidence = _turned(scene, before, here, there, found["turn"].lower())
            yield statement.finding(RULE, verdict_of(truth), *found.span(), evidence)


def _turned(
    scene: Scene, before: str | None, here: str, there: str, claimed: str
) -> tuple[bool | None, str]:
    if scene.exhaustive.edges and facts.shortest_route(scene, here, there) is None:
        return False, "no way leads there"
    if before is None and here == scene.attributes.get("start"):
        nodes, heading = [here, there], facts.start_heading(scene)
    elif before is not None:
        nodes, heading = [before, here, there], None
    else:
        return None, "it is not said where one comes from"
    if facts.route_along(scene, nodes) is None:
        return None, "there are places between"
    actual = facts.turns(scene, nodes, heading)[-1]
    truth = None if actual is None else actual == _TURNS[claimed]
    return truth, f"one goes {actual or 'in between'} there"
