"""How many votes judges are worth, and whom they favour."""

import numpy as np
import pytest

from llava_jax.evaluation.judge.judgement import Judgement
from llava_jax.evaluation.judge.panel import effective_votes, pooled, self_preference, warnings
from tests.evaluation.judge.items import judged, made_items

ITEMS = made_items(400)


def preferring(wins: np.ndarray, judge: str = "made:judge") -> Judgement:
    return judged(ITEMS, [(0.0, 1.0) if win else (1.0, 0.0) for win in wins], judge=judge)


def test_copies_are_one_vote_and_independent_errors_are_all() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    errors = rng.random((3, 400)) < 0.2
    judges = [preferring(truth ^ error) for error in errors]
    known = {item.id: float(win) for item, win in zip(ITEMS, truth, strict=True)}
    assert effective_votes(judges, known) == pytest.approx(3, abs=0.3)
    assert effective_votes(judges) < 2  # without a truth, being right together counts as well
    assert effective_votes([judges[0]] * 3, known) == pytest.approx(1)
    assert effective_votes([judges[0], judges[0], judges[1]], known) < 2.4
    assert effective_votes([judges[0], preferring(np.ones(400, bool))]) == 1
    assert (effective_votes([]), effective_votes(judges[:1])) == (0, 1)


def test_the_formula() -> None:
    first, second = np.arange(400) % 2 == 0, np.arange(400) % 8 < 4
    second = np.where(np.arange(400) % 4 == 0, first, second)
    r = np.corrcoef(first, second)[0, 1]
    assert effective_votes([preferring(first), preferring(second)]) == pytest.approx(2 / (1 + r))


def test_self_preference_is_what_others_do_not_share() -> None:
    rng = np.random.default_rng(1)
    wins = rng.random(400) < 0.5
    own = preferring(wins | (rng.random(400) < 0.4), "llama:70b")
    others = [preferring(wins ^ (rng.random(400) < 0.1), f"{name}:x") for name in ("gemma", "qwen")]
    gap = self_preference([own, *others], "llama", "openai")["llama:70b"]
    assert gap.value == pytest.approx(0.2, abs=0.04) and gap.low > 0.1
    as_reference = self_preference([own, *others], "pocket", "llama")["llama:70b"]
    assert as_reference.value == pytest.approx(-gap.value)
    assert self_preference([own], "llama", "openai") == {}
    assert self_preference([own, *others], "llama", "llama") == {}


def test_a_panel_is_the_mean_of_its_judges() -> None:
    first = judged(ITEMS[:2], [(8.0, 6.0), None], judge="a:x")
    second = judged(ITEMS[:2], [(4.0, 4.0), (1.0, 1.0)], judge="b:y")
    panel = pooled([first, second])
    assert (panel.judge, panel.marks, panel.invalid) == ("a:x + b:y", {"0": (6, 5)}, 1)
    with pytest.raises(ValueError, match="same items"):
        pooled([first, judged(ITEMS[1:3], [(1.0, 1.0)] * 2)])


def test_warnings() -> None:
    circular, own = warnings(["openai:gpt-4", "llama:70b", "qwen:x"], "llama", ["openai"])
    assert circular.startswith("CIRCULAR: openai:gpt-4") and own.startswith("SELF-JUDGED: llama")
