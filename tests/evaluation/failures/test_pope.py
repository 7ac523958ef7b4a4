"""POPE's samplers on any scenes."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.pope import SPLITS
from llava_jax.evaluation.failures.pope import EACH, ScenePope, pope_questions
from llava_jax.instruct.scene import Exhaustive, Scene
from tests.instruct.drawn import drawn_files, scene_of

LABELS = ("apple", "bird", "cat", "dog", "elephant", "frog", "goat", "horse")


def scenes_of(*images: str) -> list[Scene]:
    """Scenes from the first letters of what they show."""
    return [
        scene_of(
            *((label, 0.5, 0.5) for label in LABELS if label[0] in letters),
            id=str(number),
            image=f"{number}.jpg",
            exhaustive=Exhaustive(LABELS, everything=True),
        )
        for number, letters in enumerate(images)
    ]


def asked(scenes: list[Scene], seed: int = 0) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(scene, split) -> (first letter, truth) of its questions in order."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for q in pope_questions(scenes, Path("images"), seed):
        label = q.prompt.split(" in the image?")[0].split(" ")[-1]
        found.setdefault((q.cluster, q.groups[0]), []).append((label[0], q.truth))
    return found


def test_popular_and_adversarial_by_hand() -> None:
    """To the first image's a comes d, to b and c comes e, then f; most often seen are f, g, h."""
    scenes = scenes_of("abc", "ad", "adf", "adg", "bce", "bcefgh", "fgh", "fgh", "fgh")
    found = asked(scenes)
    negatives = {split: [k for k, truth in found["0", split] if truth == "no"] for split in SPLITS}
    assert negatives["popular"] == ["f", "g", "h"]
    positives = [k for k, truth in found["0", "adversarial"] if truth == "yes"]
    by_thing = dict(zip(positives, negatives["adversarial"], strict=True))
    assert by_thing["a"] == "d"
    assert set(by_thing.values()) == {"d", "e", "f"}
    assert ("1", "popular") not in found  # two labels are too few


@settings(max_examples=60)
@given(
    st.lists(st.sets(st.sampled_from("abcdefgh")).map("".join), min_size=1, max_size=8),
    st.integers(0, 9),
)
def test_samplers(images: list[str], seed: int) -> None:
    scenes = scenes_of(*images)
    found = asked(scenes, seed)
    assert found == asked(scenes, seed)
    frequent = Counter(letter for letters in images if len(letters) >= EACH for letter in letters)
    for (scene, split), rows in found.items():
        here = set(images[int(scene)])
        assert [truth for _, truth in rows] == ["yes", "no"] * EACH
        positives, negatives = [[k for k, t in rows if t == truth] for truth in ("yes", "no")]
        assert len(set(positives)) == len(set(negatives)) == EACH
        assert set(positives) <= here
        assert not set(negatives) & here
        assert set(negatives) <= set(frequent)
        assert positives == [k for k, truth in found[scene, "random"] if truth == "yes"]
        if split == "popular":
            left = [n for k, n in frequent.items() if k not in here and k not in negatives]
            assert all(frequent[k] >= n for k in negatives for n in left)
        if split == "adversarial":
            kept = [set(letters) for letters in images if len(letters) >= EACH]
            for place, (thing, chosen) in enumerate(zip(positives, negatives, strict=True)):
                free = set(frequent) - here - set(negatives[:place])
                seen = {k: sum({thing, k} <= other for other in kept) for k in free}
                assert seen[chosen] == max(seen.values())


def test_scored_as_pope(tmp_path: Path) -> None:
    pope = ScenePope()
    assert isinstance(pope, Benchmark)
    drawn_files(tmp_path / "set", scenes_of("abc", "def", "bcdef"))
    questions = pope.load(tmp_path / "set")
    assert len(questions) == 2 * 3 * 2 * EACH  # the third image leaves one label to be absent
    assert questions[0].prompt.endswith(
        "in the image?\nAnswer the question using a single word or phrase."
    )
    oracle = pope.score(questions, {q.id: q.truth for q in questions}, "strict")
    assert (oracle.overall.value, oracle.figures["yes ratio"].value) == (1, 0.5)
    constant = pope.score(questions, {q.id: "Yes" for q in questions}, "strict")
    assert constant.overall.value == pytest.approx(2 / 3)  # F1 of always yes
    assert constant.figures["accuracy"].value == 0.5
    drawn_files(tmp_path / "few", scenes_of("ab"))
    with pytest.raises(UserError, match="shows 3 kinds of things"):
        pope.load(tmp_path / "few")
