"""launch/evaluate.py and launch/ablate.py as their users run them: killed, resumed, mistaken."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llava_jax.config import parse
from llava_jax.weights.workdir import save_recipe
from tests.conftest import REPOSITORY
from tests.evaluation.benchmarks.layouts import write_lines
from tests.inference.tiny import picture
from tests.tiny_run import make_data, make_weights, tiny_recipe, write_config

pytestmark = pytest.mark.slow

SPLITS = ("random", "popular", "adversarial")
ASKED = 32  # questions of each split


def pope_files(folder: Path) -> Path:
    """POPE's files, with a picture for each two questions."""
    (folder / "val2014").mkdir(parents=True)
    for number in range(ASKED // 2):
        picture(number).save(folder / "val2014" / f"{number}.png")
    asked = []
    for split in SPLITS:
        labels = [
            {
                "question_id": number,
                "image": f"{number // 2}.png",
                "text": f"Is there a {split} thing of kind {number} in the image?",
                "label": "yes" if number % 2 else "no",
            }
            for number in range(ASKED)
        ]
        write_lines(folder / f"coco_pope_{split}.json", labels)
        asked += [
            row | {"question_id": f"{split}{row['question_id']}", "category": split}
            for row in labels
        ]
    write_lines(folder / "llava_pope_test.jsonl", asked)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds an untrained run whose answers depend on every word and patch, and pope/."""
    folder = tmp_path_factory.mktemp("evaluate")
    make_weights(folder, wild=True)
    make_data(folder)
    save_recipe(folder / "run", parse(tiny_recipe(folder)))
    pope_files(folder / "pope")
    return folder


# A run that is killed when the first of its answers are written.
KILLED = """
import os, runpy, signal, sys
from llava_jax.evaluation.answer_log import AnswerLog

append = AnswerLog.append

def append_and_die(log, rows):
    rows = list(rows)
    append(log, rows)
    if rows:
        os.kill(os.getpid(), signal.SIGKILL)

AnswerLog.append = append_and_die
sys.argv[0] = "launch/evaluate.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(program: str, *flags: object) -> subprocess.Popen[str]:
    return started([f"launch/{program}"], *flags)


def started(program: list[str], *flags: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, *program, *map(str, flags)],
        cwd=REPOSITORY,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(program: str, *flags: object) -> tuple[int, str, str]:
    process = start(program, *flags)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def test_killed_and_taken_up_again(folder: Path, tmp_path: Path) -> None:
    flags = (f"--checkpoint={folder / 'run'}", "--benchmark=pope", f"--data={folder}")
    flags += (f"--out={tmp_path}", "--max_new_tokens=40")
    process = started(["-c", KILLED], *flags)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    part = tmp_path / "pope" / "answers.part0.jsonl"
    given = part.read_bytes().rpartition(b"\n")[0].splitlines()
    assert 0 < len(given) < 3 * ASKED
    code, _, err = run("evaluate.py", *flags)
    assert code == 0, err
    answers = (tmp_path / "pope" / "answers.jsonl").read_bytes().splitlines()
    assert len(answers) == 3 * ASKED and set(given) < set(answers)
    found = report(tmp_path)["pope"]
    assert found["n"] == 3 * ASKED and found["blind"]["above_blind"]
    assert {"random", "popular", "adversarial"} == found["categories"].keys()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--benchmark=pope"], ["--checkpoint", "--answers"]),
        (["--checkpoint=run", "--answers=a.jsonl"], ["--checkpoint", "--answers"]),
        (["--answers=a.jsonl"], ["--benchmark"]),
        (["--answers=a.jsonl", "--benchmark=pope"], ["--data", "--out"]),
        (["--answers=a", "--benchmark=popes", "--data=d", "--out=o"], ["popes", "pope"]),
        (["--answers=a,b", "--benchmark=pope", "--data=d", "--out=o"], ["--answers"]),
        (["--answers=a", "--benchmark=pope", "--data=d", "--out=o"], ["download"]),
        (["--checkpoint=none", "--benchmark=pope", "--data={pope}", "--out=o"], ["none"]),
        (["--checkpoint=x", "--efficiency"], ["--out"]),
    ],
)
def test_mistakes_get_one_clear_line(folder: Path, flags: list[str], words: list[str]) -> None:
    code, _, err = run("evaluate.py", *(flag.format(pope=folder / "pope") for flag in flags))
    assert code == 2 and "Traceback" not in err, err
    for word in words:
        assert word in err.partition("error: ")[2]


def test_efficiency_beside_transformers(folder: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "evaluate.py", f"--checkpoint={folder / 'run'}", "--efficiency", f"--out={tmp_path}"
    )
    assert code == 0, err
    found = report(tmp_path)["efficiency"]
    assert [side["runs_in"] for side in found["runs"]] == ["llava_jax", "transformers"], found
    assert all(side["tokens_per_second"] > 0 < side["first_token"] for side in found["runs"])
    assert all(1e8 < side["peak_bytes"] < 1e10 for side in found["runs"])


def times_of(folder: Path) -> dict[Path, int]:
    """When the figures of training were last written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("metrics.jsonl")}


def test_an_ablation_trains_evaluates_and_goes_on(folder: Path, tmp_path: Path) -> None:
    flags = (
        f"--config={write_config(folder)}",
        f"--out={tmp_path}",
        "--grid=model.projector=['linear', 'mlp2x_gelu']",
        f"--evaluate=--benchmark=pope --data={folder} --limit=8 --max_new_tokens=4 --noblind",
    )
    code, out, err = run("ablate.py", *flags)
    assert code == 0, err
    (found,) = json.loads((tmp_path / "ablation.json").read_text())
    assert found["points"].keys() == {"linear", "mlp2x_gelu"}
    assert found["points"]["linear"]["pope"].keys() == {"value", "low", "high"}
    assert "| linear |" in out
    trained = times_of(tmp_path)
    code, again, _ = run("ablate.py", *flags)
    assert (code, again) == (0, out) and trained == times_of(tmp_path)
    assert run("ablate.py", flags[0], flags[1], "--grid=model.projektor=['linear']")[0] == 2
