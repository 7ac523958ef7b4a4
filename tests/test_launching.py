"""How programs start and end: environment, flags, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PROGRAM = """
import os, sys
from absl import flags
from ml_collections import config_flags
from llava_jax import launching
from llava_jax.errors import SetAside, UserError
how = flags.DEFINE_string("how", "well", "")
number = flags.DEFINE_integer("number", 1, "")
config = config_flags.DEFINE_config_file("config")
def main():
    names = ("MALLOC_ARENA_MAX", "JAX_COMPILATION_CACHE_DIR", "NEEDED")
    print(*(os.environ.get(name) for name in names))
    if how.value == "user":
        raise UserError("it is broken: mend it")
    if how.value == "recipe":
        launching.read_recipe(config)
    if how.value == "partly":
        raise SetAside("2 images are missing")
    if how.value == "bug":
        raise ValueError("a bug")
    if how.value == "interrupt":
        raise KeyboardInterrupt
    if how.value == "stuck":
        import threading
        launching._PATIENCE = 1
        threading.Thread(target=threading.Event().wait).start()
        raise UserError("a library waits for ever")
    if how.value == "log":
        from absl import logging
        logging.warning("chatter")
launching.run(main, {"NEEDED": "yes"})
"""
CONFIG = """
from llava_jax.config import new_recipe
def get_config():
    return new_recipe("align")
"""


def run(tmp_path: Path, *flags: str, **environment: str) -> tuple[int, str, str]:
    (tmp_path / "recipe.py").write_text(CONFIG)
    (tmp_path / "words.txt").write_text("This is no Python.")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC", "JAX_"))}
    place = {"PYTHONPATH": str(REPOSITORY), "LLAVA_JAX_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(program), *flags],
        env=bare | place | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is tuned on Linux only")
def test_the_environment_is_set_before_main_and_the_users_stays(tmp_path: Path):
    assert run(tmp_path) == (0, f"1 {tmp_path}/xla yes\n", "")
    theirs = {"MALLOC_ARENA_MAX": "7", "JAX_COMPILATION_CACHE_DIR": "elsewhere", "NEEDED": "no"}
    assert run(tmp_path, **theirs) == (0, "7 elsewhere yes\n", "")


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--how=user"], 2, "error: it is broken: mend it\n"),
        (["--how=partly"], 3, "finished, but: 2 images are missing\n"),
        (["--how=interrupt"], 130, "\n"),
        (["--how=log"], 0, ""),
        (["--how=stuck"], 2, "error: a library waits for ever\n"),
        (["--hwo=user"], 2, "error: Unknown command line flag 'hwo'"),
        (["--number=three"], 2, "error: flag --number=three"),
        (["how"], 2, "error: unexpected argument 'how'"),
        (["--config=recipe.py", "--config.sede=3"], 2, "error: the recipe has no key 'sede'. Did"),
        (["--config=recipe.py", "--config.stage.algin.rows=3"], 2, "error: the recipe has no key"),
        (["--config=words.txt"], 2, "error: words.txt is no recipe: invalid syntax, line 1"),
        (
            ["--config=none.py", "--how=recipe"],
            2,
            "error: cannot read the recipe none.py",
        ),
        (["--config=recipe.py", "--config.seed=x"], 2, "error: flag --config.seed=x"),
    ],
)
def test_exit_codes_and_messages(tmp_path: Path, flags: list[str], code: int, message: str):
    ended, _, err = run(tmp_path, *flags)
    assert ended == code
    assert err.startswith(message)
    assert len(err.splitlines()) == len(message.splitlines())


def test_a_bug_keeps_its_traceback(tmp_path: Path):
    code, _, err = run(tmp_path, "--how=bug")
    assert code == 1
    assert "Traceback" in err and "ValueError: a bug" in err


def test_libraries_may_be_heard(tmp_path: Path):
    assert "chatter" in run(tmp_path, "--how=log", "--verbosity=0")[2]
