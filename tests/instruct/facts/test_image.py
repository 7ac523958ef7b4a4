"""Facts against an independent derivation from the boxes."""

from dataclasses import replace

from llava_jax.instruct.facts import image as facts
from llava_jax.instruct.facts.image import Fact
from llava_jax.instruct.scene import Box, Entity, Scene
from tests.instruct.drawn import drawn_scenes, scene_of


def truly(scene: Scene, subject: str, form: str) -> set[str] | None:
    """Labels in that direction of the subject, by centres alone; None if anything is doubtful."""
    subjects = [e for e in scene.entities if e.label == subject]
    assert len(subjects) == 1
    x0, y0 = subjects[0].box.center
    found = set()
    for entity in scene.entities:
        if entity is subjects[0]:
            continue
        x, y = entity.box.center
        ahead = {"left": x0 - x, "right": x - x0, "above": y0 - y, "below": y - y0}[form]
        if 0.06 < ahead < 0.15:
            return None
        if ahead >= 0.15:
            found.add(entity.label)
    return found


def test_positions_equal_a_derivation_from_centres() -> None:
    checked = 0
    for scene in drawn_scenes(150):
        for fact in facts.position_facts(scene):
            assert truly(scene, fact.subject, fact.form) == {fact.truth}
            checked += 1
    assert checked > 150


def test_positions_are_complete_on_a_plain_scene() -> None:
    scene = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), ("car", 0.2, 0.8))
    assert set(facts.position_facts(scene)) == {
        Fact("right", "dog", "cat"),
        Fact("below", "dog", "car"),
        Fact("right", "car", "cat"),
        Fact("below", "cat", "car"),
    }


def test_no_position_where_a_second_thing_lies_there_or_nearly_so() -> None:
    two_cats_right = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), ("cat", 0.8, 0.5))
    assert not [f for f in facts.position_facts(two_cats_right) if f.form == "right"]
    doubtful = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), ("car", 0.3, 0.8))
    assert Fact("right", "dog", "cat") not in facts.position_facts(doubtful)


def test_no_position_in_a_scene_that_is_not_complete() -> None:
    scene = scene_of(("dog", 0.2, 0.2), ("cat", 0.8, 0.2), complete=False)
    assert facts.position_facts(scene) == []
    assert Fact("side", "dog", "left", "cat") in facts.relation_facts(scene)


def test_a_box_around_another_has_no_side() -> None:
    inner, outer = Box(0.1, 0.4, 0.2, 0.5), Box(0.05, 0.05, 0.95, 0.95)
    assert facts.lies(inner, "left", outer) is None
    assert facts.lies(inner, "right", outer) is False


def test_relations_come_in_opposite_pairs() -> None:
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    for scene in drawn_scenes(40):
        relations = set(facts.relation_facts(scene))
        for fact in relations:
            mirrored = Fact(fact.form, fact.other, opposite[fact.truth], fact.subject)
            assert mirrored in relations


def test_counts_equal_a_recount() -> None:
    for scene in drawn_scenes(60):
        labels = [entity.label for entity in scene.entities]
        for fact in facts.count_facts(scene):
            expected = len(labels) if fact.form == "total" else labels.count(fact.subject)
            assert int(fact.truth) == expected
        assert facts.count_facts(scene)[-1].form == "total"


def test_presence_is_silent_about_labels_that_are_not_exhaustive() -> None:
    scene = scene_of(("dog", 0.5, 0.5))
    assert facts.presence_facts(scene, ["dog", "cat", "unicorn"]) == [
        Fact("presence", "dog", "yes"),
        Fact("presence", "cat", "no"),
    ]


def test_kinds_only_of_categories_with_one_member() -> None:
    def animal(label: str, x: float, color: str) -> Entity:
        attributes = {"category": "animal", "color": color}
        return Entity(label, Box(x, 0.1, x + 0.1, 0.2), attributes)

    one = scene_of(entities=(animal("dog", 0.1, "brown"),))
    assert facts.kind_facts(one) == [
        Fact("category", "animal", "dog"),
        Fact("color", "animal", "brown"),
        Fact("color", "dog", "brown"),
    ]
    two = scene_of(entities=(animal("dog", 0.1, "brown"), animal("cat", 0.5, "gray")))
    assert {fact.subject for fact in facts.kind_facts(two)} == {"dog", "cat"}


def test_a_crowd_is_present_but_neither_counted_nor_single() -> None:
    people = Entity("person", Box(0.5, 0.1, 0.9, 0.9), {"category": "person"}, crowd=True)
    plain = scene_of(("dog", 0.2, 0.2))
    scene = replace(plain, entities=(*plain.entities, people))
    assert facts.presence_facts(scene, ["person"]) == [Fact("presence", "person", "yes")]
    assert facts.count_facts(scene) == [Fact("count", "dog", "1")]
    assert [entity.label for entity in facts.single_entities(scene)] == ["dog"]
    assert facts.position_facts(scene) == []


def test_reading_order_goes_by_columns() -> None:
    scene = scene_of(("car", 0.8, 0.2), ("cat", 0.25, 0.3), ("dog", 0.2, 0.8))
    assert [entity.label for entity in facts.reading_order(scene)] == ["cat", "dog", "car"]


def test_what_may_not_be_annotated_everywhere_is_not_counted() -> None:
    scene = scene_of(("dog", 0.2, 0.2), ("dog", 0.8, 0.2), ("tree", 0.2, 0.8), ("tree", 0.8, 0.8))
    assert facts.label_counts(scene)["tree"] == 2
    assert {fact.subject for fact in facts.count_facts(scene) if fact.form == "count"} == {"dog"}
