"""What a teacher reads of a world to act in, whole and under a budget."""

from llava_jax.instruct.render.embodied import render_symbols
from llava_jax.instruct.render.rendering import estimated_tokens
from llava_jax.instruct.scene import Text
from tests.instruct.houses import house, task


def test_a_way_with_turns_and_lengths() -> None:
    text = render_symbols(house(texts=(Text("instruction", "Go to the kitchen."),))).text
    assert text.startswith("Instructions:\nGo to the kitchen.\nSituation:\n")
    assert "forward is +y, right is +x." in text
    assert "It begins at the hall, looking 0 degrees to the right of forward." in text
    assert "The way of the steps is 9.0 m long." in text
    assert "1. go to the stairs, straight on\n2. go to the kitchen, turning left\n" in text
    assert "the pantry: (-4.00, 8.00, 1.50); ways to the kitchen 3.0 m" in text
    assert text.endswith("the shed: (9.00, 9.00, 1.50)")


def test_a_plan_with_people_s_words_and_what_things_allow() -> None:
    text = render_symbols(task()).text
    assert '2. pick up the egg ("Take the egg.")\n3. go to the place at the fridge\n' in text
    assert "5. put the egg (fridge)\n" in text
    assert "fridge: centre (3.00, 0.00, 0.00); state closed; allows open\n" in text
    assert "the place at the egg: (1.00, 0.90, -1.00); in sight: egg, knife" in text


def test_a_budget_keeps_the_steps_and_says_what_is_left_out() -> None:
    rendered = render_symbols(task(), budget=100)
    assert estimated_tokens(rendered.text) <= 100
    assert "6. close the fridge" in rendered.text
    assert rendered.left_out[-1].endswith("places")
