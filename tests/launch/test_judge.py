"""launch/judge.py and launch/ensemble.py as their users run them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.remote.loopback import Body, Loopback, Reply

ROWS = 12
CATEGORIES = ("conv", "detail", "complex")


def run(program: str, *flags: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, f"launch/{program}.py", *map(str, flags)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """In-the-Wild's layout: the longer an answer, the truer; the candidate's are half as long."""
    images = [f"{n:03}.jpg" for n in range(ROWS)]
    write(
        tmp_path / "questions.jsonl",
        [
            {"question_id": n, "image": image, "text": f"What {n}?", "category": CATEGORIES[n % 3]}
            for n, image in enumerate(images)
        ],
    )
    write(
        tmp_path / "context.jsonl",
        [{"id": n, "image": image, "caption": f"Truth {n}."} for n, image in enumerate(images)],
    )
    for name, words in (("answers_gpt4", 16), ("answers", 8)):
        write(
            tmp_path / f"{name}.jsonl",
            [{"question_id": n, "text": f"Of {n}: " + "true " * words} for n in range(ROWS)],
        )
    return tmp_path


def judge(body: Body, times: int) -> Reply:
    """Marks by how much is true of the question's own image."""
    prompt = body["messages"][-1]["content"]
    number = re.search(r"What (\d+)\?", prompt)[1]
    answers = re.findall(r"<answer \d>\n(.*?)\n</answer", prompt, re.DOTALL)
    marks = [1 + min(a.count("true"), 16) / 2 * (f"Of {number}:" in a) for a in answers]
    return Reply(json.dumps({"scores": marks, "reason": "as told"}))


def test_a_judged_run_leaves_a_report_and_pays_once(bench: Path, tmp_path: Path) -> None:
    with Loopback(judge) as server:
        flags = ("--benchmark=llava_bench_wild", f"--data={bench}", f"--out={tmp_path / 'out'}",
                 f"--answers={bench / 'answers.jsonl'}", "--judge=qwen:made",
                 f"--base_url={server.url}", "--candidate=pocket")  # fmt: skip
        code, out, _ = run("judge", *flags)
        asked = server.asked.total()
        assert run("judge", *flags)[0] == code
        assert server.asked.total() == asked
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (code, report["void"]) == (0, ""), report["void"]
    assert report["overall"]["value"] == pytest.approx(5 / 9)
    assert set(report["categories"]) == set(CATEGORIES)
    assert report["flip_rate"] == 0
    assert "qwen:made" in out and "55.6" in out


def test_a_judge_that_talks_has_no_figure(bench: Path, tmp_path: Path) -> None:
    with Loopback(lambda *_: Reply("Both are lovely.")) as server:
        code, _, err = run(
            "judge", "--benchmark=llava_bench_wild", f"--data={bench}", f"--out={tmp_path / 'out'}",
            f"--answers={bench / 'answers.jsonl'}", "--judge=qwen:made",
            f"--base_url={server.url}", "--training=qwen",
        )  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert code == 3 and "has no figure" in err
    assert report["overall"] is None and report["invalid_share"] == 1
    assert any("training" in warning for warning in report["warnings"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--judge=made"], "names no family"),
        (["--judge=a:b,c:d", "--base_url=http://a/v1,http://b/v1,http://c/v1"], "--base_url wants"),
        (["--judge=a:b", "--method=paper"], "needs --rules"),
        (["--judge=a:b", "--max_usd=3"], "needs prices"),
    ],
)
def test_what_a_user_can_mend(bench: Path, flags: list[str], message: str) -> None:
    code, _, err = run(
        "judge", "--benchmark=llava_bench_wild", f"--data={bench}", f"--out={bench / 'out'}",
        f"--answers={bench / 'answers.jsonl'}", *flags,
    )  # fmt: skip
    assert code == 2 and message in err


def test_the_paper_s_ensemble_from_stored_outputs(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "scienceqa"
    flags = (
        f"--data={data}",
        f"--language_model={data / 'gpt3_final_test_QCM-ALE_2_seed_3.json'}",
        f"--llava={data / 'test_sqa_llava_13b_v0.json'}",
    )
    assert run("ensemble", *flags, f"--out={tmp_path}", "--mode=paper")[0] == 0
    schemes = json.loads((tmp_path / "report.json").read_text())["schemes"]
    found = {name: round(of["all"]["value"], 2) for name, of in schemes.items()}
    assert found == {
        "language model": 75.17,
        "llava": 90.92,
        "complement": 76.61,
        "oracle": 94.86,
    }


def test_a_live_judge_decides_where_two_models_differ(shared_data: Path, tmp_path: Path) -> None:
    """One that always sides with the second is as good as LLaVA; silence leaves LLaVA's answer."""
    data = shared_data / "scienceqa"
    few = tmp_path / "data"
    few.mkdir()
    questions = json.loads((data / "llava_test_CQM-A.json").read_text())[:60]
    ids = [question["id"] for question in questions]
    (few / "llava_test_CQM-A.json").write_text(json.dumps(questions))
    (few / "pid_splits.json").write_text(json.dumps({"test": ids}))
    (few / "id_grade_subject.csv").write_text((data / "id_grade_subject.csv").read_text())

    def second(body: Body, times: int) -> Reply:
        said = body["messages"][-1]["content"].rpartition("[Second answer]")[2]
        found = re.search(r"The answer is ([A-E])", said)
        return Reply(f"The answer is {found[1]}." if found else "I cannot say.")

    with Loopback(second) as server:
        code, *_ = run(
            "ensemble", f"--data={few}", f"--out={tmp_path}", "--judge=made",
            f"--language_model={data / 'gpt3_final_test_QCM-ALE_2_seed_3.json'}",
            f"--llava={data / 'test_sqa_llava_13b_v0.json'}", f"--base_url={server.url}",
        )  # fmt: skip
        assert 0 < server.asked.total() < 60
    schemes = json.loads((tmp_path / "report.json").read_text())["schemes"]
    assert code == 0 and schemes["judge"]["all"] == schemes["llava"]["all"]
