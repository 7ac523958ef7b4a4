from dataclasses import replace

from llava_jax.instruct.scene import Exhaustive, Scene
from tests.instruct.drawn import scene_of
from tests.instruct.grounding.coco_scene import judged


def colored(complete: bool) -> Scene:
    scene = scene_of(("apple", 0.5, 0.5), attributes={"background": "blue"})
    (apple,) = scene.entities
    known = {"color": "red", "category": "food"}
    exhaustive = Exhaustive(("apple", "car"), everything=complete)
    return replace(scene, entities=(replace(apple, attributes=known),), exhaustive=exhaustive)


def test_colors() -> None:
    claims = {
        "A red apple lies there.": "pass",
        "The apple is green.": "fail",
        "A green apple lies there.": "fail",
        "The food is red.": "pass",
        "An apple on a blue background.": "pass",
        "An apple on a white background.": "fail",
        "The apple is large.": "",
        "A green apple could lie there.": "",
    }
    for claim, verdict in claims.items():
        assert judged("attributes", claim, scene=colored(True)) == verdict, claim


def test_short_answers() -> None:
    assert judged("attributes", "Red.", "What color is the apple?", colored(True)) == "pass"
    assert judged("attributes", "Blue.", "What color is the food?", colored(True)) == "fail"
    assert judged("attributes", "Pink.", "What color is the background?", colored(True)) == "fail"


def test_elsewhere_another_color_is_for_a_person_to_look_at() -> None:
    assert judged("attributes", "The apple is green.", scene=colored(False)) == "warn"
