"""The whole run with answerers whose figures are known beforehand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from llava_jax.evaluation.probes import Probe, make_probes
from llava_jax.evaluation.run import (
    FIGURES,
    Answerer,
    ProbeRun,
    compare,
    evaluate_probes,
    markdown_report,
    print_report,
)
from tests.instruct.drawn import drawn_files, drawn_scenes


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "held_out"
    return drawn_files(folder, drawn_scenes(80, "held_out")).images


@pytest.fixture(scope="module")
def probes() -> list[Probe]:
    return make_probes(drawn_scenes(80, "held_out"), 0)


def constant(text: str) -> Answerer:
    return lambda images, prompts: [text] * len(prompts)


def oracle(probes: list[Probe]) -> Answerer:
    """Knows each truth by the image (which tells its id in red) and the question."""
    truths = {(p.scene, p.question): f"{' and '.join(p.truth)} {p.cue}" for p in probes}

    def answer(images: list[Image.Image], prompts: list[str]) -> list[str]:
        pixels = [image.getpixel((8, 8)) for image in images]
        ids = [str(round(red / 3)) if green < 9 else "blind" for red, green, _ in pixels]
        return [truths.get(key, "I cannot see.") for key in zip(ids, prompts, strict=True)]

    return answer


def test_an_oracle_is_right_everywhere_and_blind_nowhere(probes: list[Probe], images: Path) -> None:
    run = evaluate_probes(oracle(probes), probes, images)
    assert run.figures.keys() == FIGURES.keys()
    for figure in run.figures.values():
        assert (figure["value"], figure["high"], figure["unparsed"]) == pytest.approx((1, 1, 0))
        assert 0.8 < figure["low"] < 1
    blind = evaluate_probes(oracle(probes), probes, images, blind=True)
    for figure in blind.figures.values():
        assert figure["value"] == 0


@pytest.mark.parametrize(
    ("answer", "presence", "count"),
    [("Yes.", 0.5, 0), ("No.", 0.5, 0), ("Two.", 0, (0.15, 0.45)), ("Hm.", 0, 0)],
)
def test_constant_answers_score_chance(
    probes: list[Probe],
    images: Path,
    answer: str,
    presence: float,
    count: float | tuple[float, float],
) -> None:
    figures = evaluate_probes(constant(answer), probes, images).figures
    assert figures["presence"]["value"] == presence
    low, high = count if isinstance(count, tuple) else (count, count)
    assert low <= figures["count"]["value"] <= high
    for name in ("position", "kind", "caption_precision", "caption_recall"):
        assert figures[name]["value"] == 0
        assert figures[name]["unparsed"] == figures[name]["n"]


def test_naming_one_thing_always_gives_its_share_as_precision(
    probes: list[Probe], images: Path
) -> None:
    figures = evaluate_probes(constant("A dog."), probes, images).figures
    captions = [probe for probe in probes if probe.figure == "caption"]
    with_dog = sum("dog" in probe.truth for probe in captions)
    assert figures["caption_precision"]["value"] == pytest.approx(with_dog / len(captions))
    named = sum(len(probe.truth) for probe in captions)
    assert figures["caption_recall"]["value"] == pytest.approx(with_dog / named)


def test_batches_hold_one_figure_or_border_and_answers_keep_their_place(
    probes: list[Probe], images: Path
) -> None:
    sizes: list[int] = []

    def echo(shown: list[Image.Image], prompts: list[str]) -> list[str]:
        sizes.append(len(prompts))
        assert {image.size for image in shown} == {(16, 16)}
        return prompts

    run = evaluate_probes(echo, probes, images, batch_size=50)
    assert run.answers == tuple(probe.question for probe in probes)
    assert max(sizes) == 50
    assert sum(sizes) == len(probes)


def test_the_blind_see_only_gray(probes: list[Probe], images: Path) -> None:
    def look(shown: list[Image.Image], prompts: list[str]) -> list[str]:
        assert {tuple(image.getextrema()) for image in shown} == {((128, 128),) * 3}
        return prompts

    evaluate_probes(look, probes, images, blind=True)


@pytest.fixture(scope="module")
def report(probes: list[Probe], images: Path) -> dict[str, dict]:
    ask: Callable[[str], ProbeRun] = lambda text: evaluate_probes(constant(text), probes, images)  # noqa: E731
    return compare(evaluate_probes(oracle(probes), probes, images), ask("Yes."), ask("Hm."))


def test_the_report_sets_the_runs_side_by_side(report: dict[str, dict]) -> None:
    presence = report["presence"]
    assert (presence["value"], presence["blind"], presence["untrained"]) == (1, 0.5, 0)
    assert presence["above_blind"]["value"] == 0.5
    assert presence["above_blind"]["low"] <= 0.5 <= presence["above_blind"]["high"]
    assert presence.keys() >= {"value", "blind", "untrained", "low", "high", "n", "unparsed"}


def test_runs_over_other_probes_are_not_compared(probes: list[Probe]) -> None:
    one = ProbeRun(tuple(probes[:10]), ("Yes.",) * 10)
    other = ProbeRun(tuple(probes[1:11]), ("Yes.",) * 10)
    with pytest.raises(ValueError, match="different probes"):
        compare(one, other, one)


def test_the_tables_show_every_figure(report: dict[str, dict]) -> None:
    console = Console(record=True, width=80)
    print_report(report, console)
    shown = console.export_text()
    assert "…" not in shown
    table = markdown_report(report)
    for name in FIGURES:
        assert name.replace("_", " ") in shown
        assert f"| {name.replace('_', ' ')} | 100.0 |" in table
