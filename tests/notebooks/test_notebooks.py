"""The notebooks run from the first cell to the last, and are committed without their outputs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from llava_jax.config import parse
from llava_jax.weights.workdir import save_recipe
from tests.conftest import REPOSITORY
from tests.tiny_run import make_weights, tiny_recipe

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
LARGEST_OUTPUT = 4_000  # bytes of a cell's outputs
_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a terminal's, as a progress bar writes them


def executed(name: str, seconds: int = 600) -> dict[str, str]:
    """Runs a notebook as a user would in its folder; the text that its code cells print, by id."""
    notebook = nbformat.read(REPOSITORY / "notebooks" / name, as_version=4)
    NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(REPOSITORY / "notebooks")}},
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = ("".join(o.get("text", "") for o in cell.outputs) for cell in cells)
    return {c.source: _COLORS.sub("", text) for c, text in zip(cells, printed, strict=True)}


def said_by(cells: dict[str, str], part: str) -> str:
    """What the cell printed whose code holds `part`."""
    return next(text for source, text in cells.items() if part in source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_small_and_explained(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        assert len(str(cell.get("outputs", ""))) < LARGEST_OUTPUT
        assert not cell.get("execution_count")


@pytest.mark.slow
def test_colab_quickstart(tmp_path: Path, pocket_language, pocket_tower, pocket_font, monkeypatch):
    """With the smallest numbers that its form takes sensibly, and not on Colab."""
    monkeypatch.setenv("SCENES", "80")
    monkeypatch.setenv("STEPS", "2")
    monkeypatch.setenv("WORKDIR", str(tmp_path / "run"))
    cells = executed("colab_quickstart.ipynb")
    assert "on a CPU" in said_by(cells, "on_tpu")
    assert re.search("instruct .* 2/2 ", said_by(cells, "--config.scenes.train"))
    answer = said_by(cells, "--prompt").splitlines()
    assert len(answer) >= 2 and answer[0].startswith("reading")
    assert "tpu-vm create llava" in said_by(cells, "--dry_run")
    assert list((tmp_path / "run").glob("stages/instruct/checkpoints/2"))


@pytest.mark.slow
def test_chat(tmp_path: Path, monkeypatch):
    make_weights(tmp_path, wild=True)
    save_recipe(tmp_path / "run", parse(tiny_recipe(tmp_path)))
    monkeypatch.setenv("CHECKPOINT", str(tmp_path / "run"))
    monkeypatch.setenv("MAX_NEW_TOKENS", "8")
    cells = executed("chat.ipynb")
    first, second, third = (
        said_by(cells, part) for part in ("def ask", "colors do you", "chat.add(")
    )
    assert first.startswith("> What is in the picture?\n") and len(first.splitlines()) > 1
    assert len({text.partition("\n")[2] for text in (first, second, third)}) == 3


@pytest.mark.slow
def test_sharding_on_simulated_devices(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    cells = executed("sharding_on_simulated_devices.ipynb")
    lines = said_by(cells, "metrics.loss").splitlines()
    assert len(lines) == 5 and len({line.split("losses")[1][:8] for line in lines}) == 1
    counted = dict(
        (line[:16].strip(), [int(count) for count in line[16:].split()])
        for line in said_by(cells, "as_text").splitlines()[1:]
    )
    assert counted["one device"][:2] == [0, 0] and min(counted["fsdp"][:3]) > 0
    assert len(said_by(cells, "attempt").splitlines()) == 3
