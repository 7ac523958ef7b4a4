"""launch/chat.py as its users run it: one answer, a conversation, mistakes."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from llava_jax.config import parse
from llava_jax.inference.engine import Engine, ask
from llava_jax.models.compute import local_compute
from llava_jax.weights.workdir import load_trained, save_recipe
from tests.conftest import REPOSITORY
from tests.tiny_run import make_data, make_weights, tiny_recipe

pytestmark = pytest.mark.slow

RUN = "--checkpoint=run"
CTRL_C, CTRL_D = "\x03", "\x04"
CHAT = (str(REPOSITORY / "launch" / "chat.py"),)

# The conversation with a model whose answer goes on until it is stopped.
ENDLESS = """
from launch import chat
from llava_jax import launching

class Endless:
    def say(self, text):
        yield "Well"
        while True:
            yield ""

chat._load = Endless
launching.run(chat.main)
"""


@pytest.fixture(scope="module", autouse=True)
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them, and their programs, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds an untrained run whose answers depend on every word and patch, and images/."""
    folder = tmp_path_factory.mktemp("chat")
    make_weights(folder, wild=True)
    make_data(folder)
    save_recipe(folder / "run", parse(tiny_recipe(folder)))
    return folder


def start(
    folder: Path, *flags: str, program: tuple[str, ...] = CHAT, **options: Any
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "LLAVA_JAX_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, *program, "--max_new_tokens=12", *flags]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, env=environment, cwd=folder, text=True, **pipes | options)


def typed_at_a_terminal(
    folder: Path, *events: tuple[str, str], program: tuple[str, ...] = CHAT
) -> tuple[int, str]:
    """Runs a conversation in a terminal: waits for each text, then types what goes with it."""
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = start(folder, RUN, program=program, **ends, start_new_session=True)
    os.close(theirs)
    shown = seen = b""
    for awaited, keys in events:
        while awaited.encode() not in seen:
            assert select.select([ours], [], [], 120)[0], f"waited for {awaited!r}, saw {seen!r}"
            seen += os.read(ours, 1000)
        before, found, seen = seen.partition(awaited.encode())
        shown += before + found
        if keys.startswith(CTRL_C):
            process.send_signal(signal.SIGINT)
            keys = keys.removeprefix(CTRL_C)
        os.write(ours, keys.encode())
    code = process.wait(timeout=60)
    os.close(ours)
    return code, shown.decode()


def run(folder: Path, *flags: str, typed: str = "") -> tuple[int, str, str]:
    process = start(folder, *flags)
    out, err = process.communicate(typed, timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    trained = load_trained(folder / "run", local_compute("float32"))
    return Engine(
        trained.config,
        trained.params,
        local_compute("float32"),
        trained.tokenizer,
        trained.template,
        trained.image_mode,
    )


def expected(folder: Path, engine: Engine, question: str, image: int | None = None) -> str:
    pictures = [] if image is None else [Image.open(folder / "images" / f"{image}.png")]
    return engine.generate([ask(question, *pictures, max_new_tokens=12)])[0].text + "\n"


def test_one_answer_is_all_of_stdout(folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")  # which the tests share
    code, out, err = run(folder, RUN, "--image=images/1.png", "--prompt=What <image>?")
    assert (code, out) == (0, expected(folder, engine, "What <image>?", 1)), err
    assert (folder / "cache" / "xla").is_dir()


def test_a_piped_conversation(folder: Path, engine: Engine):
    lines = ["What?", "/reset", "What?", ""]
    lines += ["/image images/1.png", "What?", "/image images/2.png", "What?", "/exit", "No!"]
    code, out, err = run(folder, RUN, typed="\n".join(lines))
    assert code == 0, err
    blind, first, second = (expected(folder, engine, "What?", image) for image in (None, 1, 2))
    assert out == blind + blind + first + second
    assert len({blind, first, second}) == 3


def test_several_images_at_once_or_added(folder: Path, engine: Engine):
    flags = (RUN, "--image=images/1.png")
    code, out, err = run(folder, *flags, typed="/add images/2.png\nWhat?")
    pictures = [Image.open(folder / "images" / f"{image}.png") for image in (1, 2)]
    both = engine.generate([ask("What?", *pictures, max_new_tokens=12)])[0].text + "\n"
    assert (code, out) == (0, both), err
    assert run(folder, *flags, "--image=images/2.png", typed="What?")[:2] == (0, both)


def test_drawn_answers_follow_the_seed(folder: Path):
    flags = (RUN, "--prompt=What?", "--temperature=1.5", "--top_k=40", "--top_p=.95")
    answers = [run(folder, *flags, f"--seed={seed}") for seed in (1, 1, 2)]
    assert [code for code, *_ in answers] == [0, 0, 0]
    assert answers[0][1] == answers[1][1] != answers[2][1]


@pytest.mark.parametrize(
    ("flags", "typed", "message"),
    [
        (["--checkpoint=nowhere", "--prompt=x"], "", "no folder nowhere"),
        (["--prompt=x"], "", "--checkpoint"),
        ([RUN, "--prompt=x", "--image=absent.png"], "", "absent.png: no such file"),
        ([RUN, "--prompt=x", "--image=run/recipe.json"], "", "cannot read the image"),
        ([RUN, "--prompt= "], "", "--prompt is empty"),
        ([RUN, "--prompt=x", "--top_p=2"], "", "top_p must be"),
        ([RUN, "--wrong=1"], "", "wrong"),
        ([RUN, "stray"], "", "'stray'"),
        ([RUN, "--prompt=x", "--tensor=2"], "", "--tensor=2"),
        ([RUN], "/image absent.png", "absent.png: no such file"),
        ([RUN], "/add", "/add"),
        ([RUN], "/dance", "/dance"),
        ([RUN], "x" * 5000, "at most 2048"),
    ],
)
def test_mistakes_get_one_clear_line(folder: Path, flags: list[str], typed: str, message: str):
    code, out, err = run(folder, *flags, typed=typed)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert "Traceback" not in err


def test_ctrl_c_leaves_cleanly(folder: Path):
    process = start(folder, RUN)
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write("What?\n")
    process.stdin.flush()
    assert process.stdout.read(1)  # it has begun to answer
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_at_a_terminal_mistakes_do_not_end_the_conversation(folder: Path, engine: Engine):
    code, shown = typed_at_a_terminal(
        folder,
        ("/help", ""),
        ("> ", "/image absent.png\n"),
        ("error: cannot read the image absent.png", ""),
        ("> ", "/help\n"),
        ("/reset", ""),
        ("> ", "What?\n"),
        (expected(folder, engine, "What?").split()[0], ""),
        ("> ", CTRL_D),
    )
    assert code == 0
    assert "Traceback" not in shown


def test_ctrl_c_at_a_terminal_leaves_an_answer_then_the_program(folder: Path):
    code, shown = typed_at_a_terminal(
        folder,
        ("> ", "What?\n"),
        ("Well", CTRL_C),
        ("> ", CTRL_C + "\n"),  # a key wakes a prompt that waits only after the signal came
        program=("-c", ENDLESS),
    )
    assert code == 130
    assert "Traceback" not in shown
