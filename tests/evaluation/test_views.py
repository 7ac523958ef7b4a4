"""What is shown instead of an image, and figures beside those of who saw it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llava_jax.evaluation.benchmarks.benchmark import Mark, Question, accuracy
from llava_jax.evaluation.views import ShuffledPatches, beside, blind, changed, shown
from llava_jax.images import Preprocessing

QUESTIONS = [Question(str(n), "?", (), "yes", str(n // 2), ("first",) * (n < 2)) for n in range(4)]


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return Image.fromarray(pixels)


def test_blind_is_grey_of_the_same_size(image: Image.Image) -> None:
    assert blind(image).size == (30, 20)
    assert blind(image).getcolors() == [(600, (128, 128, 128))]


def test_patches_move_whole_and_pass_the_preprocessing_unchanged(image: Image.Image) -> None:
    preprocessing = Preprocessing(28)
    view = ShuffledPatches(preprocessing, 7)
    before, after = preprocessing(image), np.asarray(view(image))
    assert np.array_equal(preprocessing(view(image)), after)
    assert np.array_equal(np.asarray(view(image)), after)

    def patches(pixels: np.ndarray) -> list[bytes]:
        grid = pixels.reshape(4, 7, 4, 7, 3).swapaxes(1, 2).reshape(16, -1)
        return [patch.tobytes() for patch in grid]

    assert sorted(patches(before)) == sorted(patches(after))
    assert patches(before) != patches(after)


def test_a_border_that_fills_no_patch_stays(image: Image.Image) -> None:
    after = np.asarray(ShuffledPatches(Preprocessing(30), 7)(image))
    before = Preprocessing(30)(image)
    assert np.array_equal(before[28:], after[28:])
    assert np.array_equal(before[:, 28:], after[:, 28:])


def test_shown_reads_crops_and_views(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.png")
    sources = (tmp_path / "a.png", (tmp_path / "a.png").read_bytes())
    question = Question("1", "?", sources, None, "1", crop=(5, 2, 10, 8))
    first, second = shown(question)
    assert np.array_equal(np.asarray(first), np.asarray(image)[2:10, 5:15])
    assert np.array_equal(np.asarray(first), np.asarray(second))
    assert [seen.size for seen in shown(question, blind)] == [(10, 8), (10, 8)]


def marks(*right: int) -> list[Mark]:
    """Of questions whose answer is yes."""
    return [Mark(str(n), ("no", "yes")[value], float(value)) for n, value in enumerate(right)]


def test_beside_gives_every_figure_the_other_one_and_their_difference() -> None:
    seen, unseen = (accuracy(QUESTIONS, marks(*right)) for right in ((1, 1, 1, 0), (1, 0, 1, 0)))
    figures = beside(seen, unseen)
    assert set(figures) == {"accuracy", "first"}
    overall = figures["accuracy"]
    assert (overall.figure.value, overall.other, overall.difference.value) == (0.75, 0.5, 0.25)
    assert overall.difference.low == 0
    assert figures["first"].difference.value == 0.5


def test_sensitivity_is_the_share_of_right_answers_that_change() -> None:
    seen = marks(1, 1, 1, 0)
    assert changed(QUESTIONS, seen, seen).value == 0
    assert changed(QUESTIONS, seen, marks(0, 1, 0, 1)).value == pytest.approx(2 / 3)
