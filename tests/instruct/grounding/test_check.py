"""All rules together: true responses never fail, and false ones always do."""

import random
from dataclasses import replace

import pytest
from corrupted_scenes import CORRUPTIONS, Corruption

from llava_jax.instruct.grounding.check import RULES, check, verdict
from llava_jax.instruct.grounding.finding import Finding, Span
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher.reasoning import REASONINGS, Place
from llava_jax.instruct.teacher.rules import TURNS, RuleTeacher
from llava_jax.instruct.turns import RESPONSES, Turn
from tests.instruct.drawn import drawn_scenes

SCENES = drawn_scenes(30)
TEACHER = RuleTeacher(dict.fromkeys(TURNS, 2))
REASONING_FIRST = RuleTeacher(dict.fromkeys(TURNS, 2), reasoning="before")


def responses(teacher: RuleTeacher = TEACHER) -> list[tuple[Scene, list[Turn]]]:
    return [
        (scene, teacher.turns(scene, kind, 0)) for scene in SCENES for kind in RESPONSES["image"]
    ]


@pytest.mark.parametrize("teacher", [TEACHER, REASONING_FIRST], ids=["answer", "reasoning"])
def test_what_the_rule_teacher_writes_never_fails(teacher: RuleTeacher) -> None:
    for scene, turns in responses(teacher):
        wrong = [f for f in check(scene, turns) if f.verdict in ("fail", "warn")]
        assert not wrong, (wrong, turns)


@pytest.mark.parametrize("place", ["after", "before"])
def test_no_reasoning_ever_fails(place: Place) -> None:
    for scene in SCENES:
        for ask in REASONINGS.values():
            if reasoned := ask(scene, random.Random(0)):
                turn = reasoned.turn(place)
                wrong = [f for f in check(scene, [turn]) if f.verdict in ("fail", "warn")]
                assert not wrong, (wrong, turn)


def test_every_turn_of_its_conversations_is_judged() -> None:
    for scene in SCENES:
        turns = TEACHER.turns(scene, "conversation", 0)
        judged = {f.span.turn for f in check(scene, turns) if f.span.part == "answer"}
        assert judged == set(range(len(turns)))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_on_corrupted_scenes_what_became_false_fails(corruption: Corruption) -> None:
    false = 0
    for scene, turns in responses():
        after = corruption.corrupted(scene, random.Random(0))
        after = replace(after, texts=())  # the captions would go on telling the truth
        now = {(f.rule, f.span, f.text): f.verdict for f in check(after, turns)}
        for found in check(scene, turns):
            if found.verdict != "pass" or found.rule not in corruption.rules:
                continue
            if corruption.falsifies(scene, after, found, turns[found.span.turn]):
                assert now[found.rule, found.span, found.text] == "fail", found
                false += 1
    assert false > 20


def test_the_worst_finding_decides() -> None:
    def found(*verdicts: str) -> list[Finding]:
        return [Finding("form", v, Span(0, "answer", 0, 1), "A", "") for v in verdicts]  # type: ignore[arg-type]

    assert verdict(found("pass", "unknown", "pass")) == "unknown"
    assert verdict(found("fail", "warn")) == "fail"
    assert verdict([]) == "unknown"


def test_rules_are_called_what_their_findings_say() -> None:
    scene, turns = responses()[0]
    for name, rule in RULES.items():
        assert {finding.rule for finding in rule(scene, turns)} <= {name}
