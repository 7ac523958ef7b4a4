"""launch/instruct.py as its users run it: rules and a model behind an API, checks, bad input."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.instruct.drawn import drawn_files, drawn_scenes
from tests.remote.loopback import Loopback, Reply

TURN = "Question:\nIs there a zebra in the image?\n===\nAnswer:\n{}\n==="


def command(*flags: object) -> dict[str, Any]:
    return {
        "args": [sys.executable, "launch/instruct.py", *map(str, flags)],
        "cwd": REPOSITORY,
        "env": {**os.environ, "OPENAI_API_KEY": "secret", "PYTHONPATH": str(REPOSITORY)},
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def run(*flags: object) -> tuple[int, str, str]:
    done = subprocess.run(**command(*flags), timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    files = drawn_files(tmp_path_factory.mktemp("coco"), drawn_scenes(12))
    return (
        "--source=coco",
        f"--instances={files.instances}",
        f"--captions={files.captions}",
        f"--images={files.images}",
    )


def asking(server: Loopback) -> tuple[str, ...]:
    return ("--teacher=openai", f"--base_url={server.url}", "--model=m", "--responses=complex")


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def test_rules_leave_a_set_that_the_checks_pass(source: tuple[str, ...], tmp_path: Path) -> None:
    code, out, err = run(*source, f"--out={tmp_path}", "--tfds")
    assert (code, err) == (0, err) and "error" not in err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"instructions.json", "provenance.jsonl", "report.json", "README.md",
                    "preview.html", "tfds"}  # fmt: skip
    figures = report(tmp_path)
    assert figures["responses"].keys() == {"conversation", "detail", "complex"}
    assert "fail" not in {v for counts in figures["verdicts"].values() for v in counts}
    assert f"kept {figures['samples']} of" in out


def test_a_killed_run_goes_on_and_pays_nothing_twice(
    source: tuple[str, ...], tmp_path: Path
) -> None:
    """The answer's truth depends on the scene's place among all, so that order shows."""

    killed = False

    def script(body: dict[str, Any], _: int) -> Reply:
        answers = killed or server.asked.total() <= 6
        return Reply(TURN.format("No."), latency=0.3 if answers else 600.0)

    with Loopback(script) as server:
        flags = (*source, *asking(server), f"--out={tmp_path}", "--at_once=2", "--max_usd=1",
                 "--usd_per_million_prompt=100", "--usd_per_million_answer=100")  # fmt: skip
        running = subprocess.Popen(**command(*flags))
        deadline = time.monotonic() + 200
        while server.answered.total() < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.kill()
        running.communicate()
        killed = True
        assert not (tmp_path / "instructions.json").exists()
        code, out, _ = run(*flags)
        assert code == 0 and "cost: $0.02" in out
        assert max(server.asked.values()) <= 2 and server.asked.total() <= 12 + 2
        before = server.asked.total()
        assert run(*flags)[0] == 0  # everything is known
        assert server.asked.total() == before
        assert "12 prompts, 12 of them answered before" in run(*flags, "--dry_run")[1]
    records = json.loads((tmp_path / "instructions.json").read_text())
    lines = (tmp_path / "provenance.jsonl").read_text().splitlines()
    assert len(lines) == 12 and len(records) == report(tmp_path)["samples"]
    assert [json.loads(line)["scene"] for line in lines] == [str(n) for n in range(12)]
    assert "secret" not in "".join(path.read_text() for path in tmp_path.glob("*.*"))


def test_what_a_model_gets_wrong_is_set_aside_by_name(
    source: tuple[str, ...], tmp_path: Path
) -> None:
    """An untrue answer, an unreadable one, a filtered one, HTML, and good ones."""
    replies = [
        Reply(TURN.format("Yes.")),
        Reply("I would rather not."),
        Reply(TURN.format("No."), finish_reason="content_filter"),
        Reply(raw=b"<html>gateway</html>"),
    ]
    first: dict[str, Reply] = {}

    def script(body: dict[str, Any], _: int) -> Reply:
        content = body["messages"][-1]["content"]
        default = Reply(TURN.format("No."))
        return first.setdefault(content, replies[len(first)] if len(first) < 4 else default)

    with Loopback(script) as server:
        code, out, err = run(*source, *asking(server), f"--out={tmp_path}", "--at_once=1")
    assert code == 3
    figures = report(tmp_path)
    assert figures["dropped"]["objects"] == 1
    assert figures["problems"] == {"unreadable": 2, "filtered": 1}
    assert err.splitlines()[-1].startswith("finished, but: ")
    assert "without text: 2 x unreadable" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--source=nope"], "error: no source 'nope'; choose from coco"),
        (["--source=coco", "--instances=missing.json"], "error: --instances: there is no missing"),
        (["--source=visual_genome"], "error: source visual_genome needs --annotations"),
        (["--teacher=openai"], "error: --teacher=openai needs --model"),
        (["--teacher=openai", "--model=m", "--max_usd=1"], "error: --max_usd needs prices"),
        (["--responses=detail=2"], "error: --responses=detail=2: give KIND=SHARE"),
        (["--responses=poem"], "error: no response types ['poem']; choose from"),
        (["--check=missing.json"], "error: "),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    source: tuple[str, ...], tmp_path: Path, flags: list[str], message: str
) -> None:
    given = flags if flags[0].startswith("--source") else [*source, *flags]
    code, _, err = run(*given, f"--out={tmp_path / 'out'}")
    assert code == 2 and err.startswith(message) and len(err.splitlines()) == 1
    assert not (tmp_path / "out" / "instructions.json").exists()


def test_a_model_that_is_not_there_ends_the_run(source: tuple[str, ...], tmp_path: Path) -> None:
    with Loopback(lambda *_: Reply(status=401)) as server:
        code, _, err = run(*source, *asking(server), f"--out={tmp_path}")
    assert code == 2 and "OPENAI_API_KEY" in err.splitlines()[-1]


def test_existing_records_are_checked_against_their_scenes(
    source: tuple[str, ...], tmp_path: Path
) -> None:
    assert run(*source, f"--out={tmp_path / 'made'}")[0] == 0
    records = tmp_path / "made" / "instructions.json"
    code, out, _ = run(*source, f"--check={records}", f"--out={tmp_path / 'checked'}")
    assert code == 0 and "fail" in out
    figures = report(tmp_path / "checked")
    assert figures["samples"] == figures["asked"] == len(json.loads(records.read_text()))
    spoilt = records.read_text().replace("Yes.", "No.")
    records.write_text(spoilt)
    run(*source, f"--check={records}", f"--out={tmp_path / 'again'}")
    assert report(tmp_path / "again")["dropped"] == {"counts": 12}  # one "no" to each that is there


def test_captions_are_chosen_by_their_concepts(tmp_path: Path) -> None:
    said = ["a red kite"] * 4 + ["a lone word"] + ["a blue kite"] * 3
    chat = [
        {
            "id": str(n),
            "image": f"{n}.jpg",
            "conversations": [
                {"from": "human", "value": "<image>"},
                {"from": "gpt", "value": text},
            ],
        }
        for n, text in enumerate(said)
    ]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    code, out, _ = run(f"--concepts={tmp_path / 'chat.json'}", f"--out={tmp_path / 'out'}")
    assert code == 0 and "7 of 8 captions" in out
    assert len(json.loads((tmp_path / "out" / "captions.json").read_text())) == 7
    assert (tmp_path / "out" / "concepts.png").stat().st_size > 5000
