"""A run over a small benchmark: what its reports say, with stored answers and with a model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from llava_jax.errors import SetAside, UserError
from llava_jax.evaluation.benchmark_run import Checkpoint, Job, evaluate_answers, evaluate_model
from llava_jax.evaluation.results import entry
from llava_jax.inference.engine import Engine
from tests.evaluation.small_benchmark import Small
from tests.inference.tiny import engine as tiny_engine

QUIET = Console(quiet=True)
# Of q0 (yes), q1 (no), ...: 3 of 6 even ones and 5 of 6 odd ones are right.
SAID = ["yes", "no", "maybe", "no", "no", "no", "yes", "<script>", "yes", "no", "no", "no"]
OTHER = ["yes", "yes"] * 6


def write(path: Path, texts: list[str]) -> Path:
    rows = [{"question_id": f"q{n}", "text": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def test_stored_answers(tmp_path: Path) -> None:
    job = Job([Small()], tmp_path, tmp_path / "out", compare=[write(tmp_path / "b.jsonl", OTHER)])
    evaluate_answers(job, [write(tmp_path / "a.jsonl", SAID)], QUIET)
    whole = report(tmp_path / "out")
    found = whole["small"]
    assert whole["overall"] == found["overall"]
    assert found["overall"]["value"] == pytest.approx(100 * 8 / 12)
    assert found["overall"]["low"] < 66 < found["overall"]["high"]
    assert found["categories"]["even"] == pytest.approx(
        {"value": 50, "n": 6} | {k: found["categories"]["even"][k] for k in ("low", "high")}
    )
    assert (found["invalid"], found["n"], found["mode"]) == (2, 12, "strict")
    assert found["disagreements"] == [{"question": "q2", "paper": "yes", "strict": ""}]
    assert found["other_mode"]["overall"] == pytest.approx(75)
    compared = found["compared"]
    assert (compared["only_this_right"], compared["only_other_right"]) == (5, 3)
    assert compared["difference"]["value"] == pytest.approx(100 * 2 / 12)
    assert compared["mcnemar_p"] == pytest.approx(0.7265625)
    assert compared["answers"] == "b.jsonl"
    assert (tmp_path / "out/small/submission/upload.txt").read_text().startswith("yes\nno\nmaybe")


def test_the_page_stands_alone_and_escapes(tmp_path: Path) -> None:
    job = Job([Small()], tmp_path, tmp_path / "out")
    evaluate_answers(job, [write(tmp_path / "a.jsonl", SAID)], QUIET)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;" in html and "<script" not in html
    assert "Is &lt;b&gt;0&lt;/b&gt; even?" in html
    assert "even, read as “no”: 2" in html and "odd, not read: 1" in html
    assert "data:image/svg+xml" in html and "data:image/jpeg" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    table = (tmp_path / "out" / "report.md").read_text()
    assert "| small | accuracy | strict | 66.67 |" in table and "paper 75.00, 1 differ" in table


def test_what_has_no_figure_is_still_reported(tmp_path: Path) -> None:
    job = Job([Small(hidden=True)], tmp_path, tmp_path / "out")
    with pytest.raises(SetAside, match="small has no figure: send it to the server"):
        evaluate_answers(job, [write(tmp_path / "a.jsonl", SAID)], QUIET)
    assert report(tmp_path / "out")["overall"] is None
    assert (tmp_path / "out/small/submission/upload.txt").exists()
    assert "send it to the server" in (tmp_path / "out" / "report.html").read_text()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


@pytest.fixture
def checkpoint(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setattr(Checkpoint, "engine", lambda self: engine)
    return Checkpoint("tiny", max_new_tokens=3)


def test_a_model_beside_itself_without_sight(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    job = Job([Small()], tmp_path, tmp_path / "out", mode="paper", limit=6)
    (result,) = evaluate_model(job, checkpoint, QUIET)
    assert len(list((tmp_path / "small").iterdir())) == 6  # its data is the folder of its name
    assert len((tmp_path / "out/small/answers.jsonl").read_text().splitlines()) == 6
    unseen = (tmp_path / "out/small/blind.jsonl").read_text().splitlines()
    assert [json.loads(row)["metadata"]["shown"] for row in unseen] == ["grey"] * 6
    assert entry(result)["blind"]["above_blind"].keys() == {"value", "low", "high"}
    before = report(tmp_path / "out")
    evaluate_model(job, checkpoint, QUIET)
    assert report(tmp_path / "out") == before


def test_images_that_are_missing_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    benchmark = Small(2)
    for question in benchmark.load(tmp_path)[:2]:
        question.images[0].write_bytes(b"broken")  # type: ignore[union-attr]
    with pytest.raises(SetAside, match=r"2 questions of small could not be asked \(q0, q1\)"):
        evaluate_model(Job([benchmark], tmp_path, tmp_path / "out"), checkpoint, QUIET)
    found = report(tmp_path / "out")
    assert found["n"] == 2 and "0.png" in found["set_aside"]["q0"]
    with pytest.raises(UserError, match="none of the 2 questions of small"):
        evaluate_model(Job([benchmark], tmp_path, tmp_path / "two", limit=2), checkpoint, QUIET)
