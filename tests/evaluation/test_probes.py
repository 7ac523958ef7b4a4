"""Probes against a derivation from the boxes; balance; nothing that can be answered blind."""

import re
from collections import Counter

import pytest

from llava_jax.evaluation.probes import Probe, contrasting_positions, make_probes
from llava_jax.instruct.nouns import NUMBERS, plural
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher.reasoning import REASONINGS
from tests.instruct.drawn import drawn_scenes, scene_of


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {scene.id: scene for scene in drawn_scenes(200, "held_out")}


@pytest.fixture(scope="module")
def probes(scenes: dict[str, Scene]) -> list[Probe]:
    return make_probes(list(scenes.values()), 0)


def of_figure(probes: list[Probe], figure: str) -> list[Probe]:
    return [probe for probe in probes if probe.figure == figure]


def reasoned(form: str, question: str, scene: Scene) -> str:
    """The answer to a reasoning question, derived anew."""
    labels = [entity.label for entity in scene.entities]
    spelt = {spelling: label for label in labels for spelling in (label, plural(label))}
    words = re.findall(rf"\b(?:{'|'.join(sorted(spelt, key=len, reverse=True))})\b", question)
    asked = [spelt[word] for word in words]
    if form == "one less":
        return NUMBERS[len(labels) - 1]
    if form == "most frequent sort":
        sorts = [entity.attributes["category"] for entity in scene.entities]
        return max(sorts, key=sorts.count)
    if form == "comparison of counts":
        first, second = (labels.count(label) for label in asked)
        return "yes" if first > second else "no"
    if form == "most room":
        return max(asked, key=lambda label: scene.entities[labels.index(label)].box.area)
    across = {label: scene.entities[labels.index(label)].box.center[0] for label in labels}
    if form == "edge":
        return (min if "from the left" in question else max)(labels, key=across.__getitem__)
    return min(asked, key=across.__getitem__)


def test_truths_follow_from_the_boxes(scenes: dict[str, Scene], probes: list[Probe]) -> None:
    for probe in probes:
        scene = scenes[probe.scene]
        labels = [entity.label for entity in scene.entities]
        words = probe.question.rstrip("?").split()
        (truth, *_) = probe.truth
        if probe.figure == "presence":
            assert (truth == "yes") == bool(set(words) & set(labels)), probe
        elif probe.figure == "reasoning":
            assert reasoned(probe.form, probe.question, scene) == truth, probe
        elif probe.figure == "caption":
            assert set(probe.truth) == set(labels)
        elif probe.form == "total":
            assert NUMBERS.index(truth) == len(labels)
        elif probe.form == "count":
            assert NUMBERS.index(truth) == labels.count(probe.given[0])
        elif probe.figure == "position":
            axis, sign = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}[
                probe.form
            ]
            place = [sign * e.box.center[axis] for e in scene.entities]
            start = place[labels.index(words[-1])] + 0.06
            beyond = [label for label, at in zip(labels, place, strict=True) if at > start]
            assert beyond == [truth]
        else:
            about = [
                e for e in scene.entities if probe.given[0] in (e.attributes["category"], e.label)
            ]
            assert len(about) == 1
            assert truth == (
                about[0].attributes["color"] if probe.form == "color" else about[0].label
            )


def test_every_figure_is_asked_about(probes: list[Probe]) -> None:
    counts = Counter(probe.figure for probe in probes)
    assert counts["presence"] == 400
    assert counts["caption"] == counts["count"] == counts["reasoning"] == 200
    assert counts["position"] > 50
    assert counts["kind"] > 100


def test_presence_is_balanced_also_by_label(probes: list[Probe]) -> None:
    asked = of_figure(probes, "presence")
    assert Counter(probe.truth for probe in asked) == {("yes",): 200, ("no",): 200}
    yes, no = (Counter(p.given[0] for p in asked if p.truth == (t,)) for t in ("yes", "no"))
    best_by_label = sum(max(yes[label], no[label]) for label in yes | no)
    assert best_by_label / len(asked) < 0.7  # 40 labels, ten questions each: chance alone gives .62


def test_reasonings_of_two_choices_are_balanced(probes: list[Probe]) -> None:
    asked = of_figure(probes, "reasoning")
    assert {probe.form for probe in asked} == REASONINGS.keys()
    for form in REASONINGS:
        places = Counter(p.choices.index(p.truth[0]) for p in asked if p.form == form)
        if all(len(p.choices) == 2 for p in asked if p.form == form):
            assert abs(places[0] - places[1]) <= 1 and places.total() > 10, form


def test_the_best_constant_answer_is_far_from_the_bar(probes: list[Probe]) -> None:
    for figure, most in (("position", 0.15), ("kind", 0.15), ("count", 0.5), ("reasoning", 0.45)):
        asked = Counter((probe.form, probe.truth) for probe in of_figure(probes, figure))
        best: Counter[str] = Counter()
        for (form, _), number in asked.items():
            best[form] = max(best[form], number)
        assert sum(best.values()) / sum(asked.values()) <= most


def test_positions_need_more_than_naming_the_other_thing() -> None:
    two = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2))
    three = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), ("car", 0.2, 0.8))
    assert contrasting_positions(two) == []
    assert len(contrasting_positions(three)) == 4


def test_colors_that_follow_from_the_label_are_not_asked(
    scenes: dict[str, Scene], probes: list[Probe]
) -> None:
    colors: dict[str, set[str]] = {}
    for scene in scenes.values():
        for entity in scene.entities:
            colors.setdefault(entity.label, set()).add(entity.attributes.get("color", ""))
    asked = {probe.given[0] for probe in probes if probe.form == "color"}
    assert asked & {"animal", "vehicle", "food", "shape"}
    assert all(len(colors[label]) > 1 for label in asked & colors.keys())


def test_the_same_seed_asks_the_same(scenes: dict[str, Scene], probes: list[Probe]) -> None:
    assert make_probes(list(scenes.values()), 0) == probes
    assert make_probes(list(scenes.values()), 1) != probes


def test_photos_are_asked_only_what_their_annotation_settles() -> None:
    photos = [
        scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), ("car", 0.2, 0.8), id=i, complete=False)
        for i in ("1", "2")
    ] + [scene_of(("apple", 0.2, 0.2), id="3", complete=False)]
    forms = {probe.form for probe in make_probes(photos, 0)}
    assert forms == {
        *("presence", "count", "caption"),
        *("comparison of counts", "first on the way"),
    }
