import json
from collections import Counter
from pathlib import Path

from PIL import Image

from llava_jax.instruct.sets.concepts import choose, draw_balance
from llava_jax.instruct.sets.noun_phrases import by_rules

# dog 4 captions, cat 3, owl 2 (too rare), fox 3 of which one holds it twice
CORPUS = [["dog"], ["dog", "cat"], ["owl"], ["cat", "owl"], ["dog"], [], ["dog", "fox"]]
CORPUS += [["fox", "fox"], ["fox", "cat"]]


def test_rare_phrases_are_skipped_and_all_others_kept() -> None:
    choice = choose(CORPUS, seed=0)
    assert choice.kept == [0, 1, 3, 4, 6, 7, 8]
    assert choice.before == Counter(dog=4, cat=3, fox=3, owl=2)
    assert choice.after == Counter(dog=4, cat=3, fox=3, owl=1)


def test_a_frequent_phrase_gives_so_many_at_random() -> None:
    corpus = [["dog"] for _ in range(250)] + [["dog", "cat"] for _ in range(3)]
    first, other = choose(corpus, seed=0), choose(corpus, seed=1)
    assert {250, 251, 252} < set(first.kept)  # the cat's, drawn for the dog or not
    assert 100 <= len(first.kept) <= 103
    assert first == choose(corpus, seed=0)
    assert first.kept != other.kept
    assert len(choose(corpus[:250], seed=0).kept) == 100
    assert len(choose(corpus[:100], seed=0).kept) == 100


def test_a_phrase_more_changes_no_other_draw() -> None:
    dogs = [["dog"] for _ in range(200)]
    owls = [["owl"] for _ in range(5)]
    assert choose(dogs, 0).kept == [place for place in choose(dogs + owls, 0).kept if place < 200]


def test_limits_are_parameters() -> None:
    assert choose(CORPUS, seed=0, fewest=4).kept == [0, 1, 4, 6]
    assert len(choose(CORPUS, seed=0, fewest=4, most=2).kept) == 2
    assert choose([], seed=0).kept == []


def test_real_captions_are_balanced_and_drawn(shared_data: Path, tmp_path: Path) -> None:
    records = json.loads((shared_data / "lcs_2k" / "chat.json").read_text())
    captions = [record["conversations"][1]["value"] for record in records]
    phrases = list(by_rules(captions))
    choice = choose(phrases, seed=0, most=10)
    common = {phrase for phrase, count in choice.before.items() if count >= 3}
    assert 0 < len(choice.kept) < len(captions)
    assert all(choice.after[phrase] >= min(10, choice.before[phrase]) for phrase in common)
    assert all(common & set(phrases[place]) for place in choice.kept)
    draw_balance(choice, len(captions), tmp_path / "balance.png")
    with Image.open(tmp_path / "balance.png") as drawn:
        assert drawn.width > 600 and len(drawn.convert("RGB").getcolors(1 << 20)) > 20
    assert [path.name for path in tmp_path.iterdir()] == ["balance.png"]
