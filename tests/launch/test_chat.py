"""launch/chat.py as its users run it: one answer, a conversation, mistakes."""

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers

from llava_jax import config
from llava_jax.inference.engine import Engine, ask
from llava_jax.models.compute import local_compute
from llava_jax.models.sizes import LANGUAGE, VISION
from llava_jax.weights.workdir import load_trained, save_recipe
from tests.conftest import REPOSITORY
from tests.inference import tiny
from tests.models.from_torch import randomized

pytestmark = pytest.mark.slow

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a run (untrained, of random weights) and two pictures."""
    folder = tmp_path_factory.mktemp("chat")
    vision, language = VISION["tiny_clip"], LANGUAGE["tiny_llama"]
    shared: dict[str, Any] = {"intermediate_size": vision.mlp_width}
    tower = transformers.CLIPVisionConfig(
        hidden_size=vision.width,
        num_hidden_layers=vision.depth,
        num_attention_heads=vision.heads,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        **shared,
    )
    decoder = transformers.LlamaConfig(
        vocab_size=language.vocab_size,
        hidden_size=language.width,
        intermediate_size=language.mlp_width,
        num_hidden_layers=language.depth,
        num_attention_heads=language.heads,
        num_key_value_heads=language.kv_heads,
        rms_norm_eps=language.norm_eps,
        max_position_embeddings=language.max_length,
    )
    randomized(transformers.CLIPVisionModel(tower)).save_pretrained(folder / "tower")
    randomized(transformers.LlamaForCausalLM(decoder)).save_pretrained(folder / "decoder")
    tiny.tokenizer().save(folder / "decoder")
    recipe = config.new_recipe("align")
    recipe.dtype = "float32"
    recipe.model.vision, recipe.model.language = "tiny_clip", "tiny_llama"
    recipe.weights.vision = str(folder / "tower")
    recipe.weights.language = str(folder / "decoder")
    recipe.stage.align.template = "chatml"
    save_recipe(folder / "run", config.parse(recipe))
    for number in (1, 2):
        tiny.picture(number).save(folder / f"{number}.png")
    return folder


def start(folder: Path, *flags: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "LLAVA_JAX_CACHE": str(folder / "cache"),
    }
    program = [sys.executable, str(REPOSITORY / "launch" / "chat.py"), "--max_new_tokens=12"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        [*program, *flags], env=environment, cwd=folder, text=True, **pipes | options
    )


def typed_at_a_terminal(folder: Path, *events: tuple[str, str]) -> tuple[int, str]:
    """Runs a conversation in a terminal: waits for each text, then types what goes with it.

    A program that has left ends it early: Linux says so with EIO.
    """
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = start(folder, "--checkpoint=run", **ends, start_new_session=True)
    os.close(theirs)
    shown = seen = ""
    for awaited, keys in events:
        while awaited not in seen:
            assert select.select([ours], [], [], 120)[0], f"waited for {awaited!r}, saw {seen!r}"
            try:
                seen += os.read(ours, 1000).decode()
            except OSError:
                os.close(ours)
                return process.wait(timeout=60), shown + seen
        before, _, seen = seen.partition(awaited)
        shown += before + awaited
        if keys == CTRL_C:
            process.send_signal(signal.SIGINT)
        else:
            os.write(ours, keys.encode())
    code = process.wait(timeout=60)
    os.close(ours)
    return code, shown


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


def expected(engine: Engine, question: str, image: int | None) -> str:
    pictures = [] if image is None else [tiny.picture(image)]
    return engine.generate([ask(question, *pictures, max_new_tokens=12)])[0].text + "\n"


def test_one_answer_is_all_of_stdout(folder: Path, engine: Engine):
    code, out, err = run(folder, "--checkpoint=run", "--image=1.png", "--prompt=What <image>?")
    assert (code, out) == (0, expected(engine, "What <image>?", 1)), err
    assert (folder / "cache" / "xla").is_dir()


def test_a_piped_conversation(folder: Path, engine: Engine):
    lines = ["What?", "/reset", "What?", "", "/image 1.png", "What?", "/image 2.png", "What?"]
    code, out, err = run(folder, "--checkpoint=run", typed="\n".join([*lines, "/exit", "No!"]))
    assert code == 0, err
    blind, first, second = (expected(engine, "What?", image) for image in (None, 1, 2))
    assert out == blind + blind + first + second


def test_drawn_answers_follow_the_seed(folder: Path):
    flags = (
        "--checkpoint=run",
        "--prompt=What?",
        "--temperature=1.5",
        "--top_k=40",
        "--top_p=0.95",
    )
    answers = [run(folder, *flags, f"--seed={seed}") for seed in (1, 1, 2)]
    assert [code for code, *_ in answers] == [0, 0, 0]
    assert answers[0][1] == answers[1][1] != answers[2][1]


@pytest.mark.parametrize(
    ("flags", "typed", "message"),
    [
        (["--checkpoint=nowhere", "--prompt=x"], "", "no training run in nowhere"),
        (["--prompt=x"], "", "--checkpoint"),
        (["--checkpoint=run", "--prompt=x", "--image=absent.png"], "", "absent.png: no such file"),
        (
            ["--checkpoint=run", "--prompt=x", "--image=run/recipe.json"],
            "",
            "cannot read the image",
        ),
        (["--checkpoint=run", "--prompt= "], "", "--prompt is empty"),
        (["--checkpoint=run", "--prompt=x", "--top_p=2"], "", "top_p must be"),
        (["--checkpoint=run", "--wrong=1"], "", "wrong"),
        (["--checkpoint=run", "stray"], "", "'stray'"),
        (["--checkpoint=run"], "/image absent.png", "absent.png: no such file"),
        (["--checkpoint=run"], "/dance", "/dance"),
        (["--checkpoint=run"], "x" * 5000, "at most 2048"),
    ],
)
def test_mistakes_get_one_clear_line(folder: Path, flags: list[str], typed: str, message: str):
    code, out, err = run(folder, *flags, typed=typed)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert "Traceback" not in err


def test_ctrl_c_leaves_cleanly(folder: Path):
    process = start(folder, "--checkpoint=run")
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
        (expected(engine, "What?", None).split()[0], ""),
        ("> ", CTRL_D),
    )
    assert code == 0
    assert "Traceback" not in shown


def test_ctrl_c_at_a_terminal_leaves_an_answer_then_the_program(folder: Path):
    """An answer may be over before the first Ctrl-C comes; then that one leaves the program."""
    code, shown = typed_at_a_terminal(
        folder, ("> ", "What?\n"), ("What?", ""), ("\n", CTRL_C), ("> ", CTRL_C), ("\n", "")
    )
    assert code == 130
    assert "Traceback" not in shown
