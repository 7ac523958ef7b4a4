"""Steps of plans that act on what is absent, cannot be acted on so, or in another order."""

import itertools
import random
from dataclasses import replace

import pytest

from llava_jax.instruct.grounding.plans import plans
from llava_jax.instruct.scene import Exhaustive
from llava_jax.instruct.teacher.embodied import plan
from llava_jax.instruct.turns import Turn
from tests.instruct.houses import task

LISTED = replace(task().exhaustive, labels=("egg", "knife", "mug"))
TASK = task(exhaustive=LISTED)


def verdicts(answer: str, question: str = "What are the steps?") -> list[str]:
    return [finding.verdict for finding in plans(TASK, [Turn(question, answer)])]


@pytest.mark.parametrize(
    ("answer", "expected"),
    {
        "Open the fridge and put the egg in it.": ["pass", "pass"],
        "First, open the sofa.": ["fail"],
        "Go to the counter, then pick up the fridge.": ["fail"],
        "Pick up the mug.": ["fail"],  # mugs are listed wherever there are some
        "Pick up the bottle.": [],
        "Open the egg box.": [],
        "Put the egg in the fridge. Then pick up the egg.": ["pass", "pass", "fail"],
        "Close the fridge, then open the fridge.": ["pass", "pass", "fail"],
        "Open the fridge. Pick up the egg. Put the egg in the fridge.": ["pass"] * 3,
        "If you open the sofa, it breaks.": [],
        "Do not open the sofa.": [],
        "Somebody wants to open the sofa.": [],
    }.items(),
)
def test_steps(answer: str, expected: list[str]) -> None:
    assert verdicts(answer) == expected


def test_questions_command_nothing() -> None:
    assert verdicts("No.", "Open the sofa?") == []


def test_a_shuffled_plan_is_rejected() -> None:
    """Of the orders of the teacher's own steps, those that the plan's dependencies forbid."""
    (turn,) = plan(TASK, random.Random(0))
    assert {f.verdict for f in plans(TASK, [turn])} == {"pass"}
    lines = [line.split(" ", 1)[1] for line in turn.answer.split("\n")]
    picking, opening, putting, closing = (lines[i] for i in (1, 3, 4, 5))
    for order in itertools.permutations((picking, opening, putting, closing)):
        possible = order.index(picking) < order.index(putting) and order[-1] == closing
        possible = possible and order.index(opening) < order.index(putting)
        found = plans(TASK, [Turn("?", " ".join(order))])
        assert any(f.verdict == "fail" for f in found) is not possible, order


def test_things_without_their_affordances_are_rejected() -> None:
    (turn,) = plan(TASK, random.Random(0))
    bare = replace(TASK, entities=tuple(replace(e, affordances=()) for e in TASK.entities))
    assert {f.verdict for f in plans(bare, [turn])} == {"fail"}
    unlisted = replace(bare, exhaustive=Exhaustive())
    assert plans(unlisted, [turn]) == []
