"""transformers 4.57 and 5 load what we write and give our numbers; we load what they write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from llava_jax.config import cache_folder
from llava_jax.conversion.convert import Conversion, convert
from llava_jax.conversion.trial import Trial
from llava_jax.conversion.verify import run_here
from llava_jax.images import preprocess
from llava_jax.text.encode import IMAGE, Encoded, encode_prompt, expand_images
from llava_jax.text.templates import USER, get_template, render, with_images
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.opening import open_checkpoint

NEWEST = "5.23.0"
SCRIPT = Path(__file__).with_name("in_transformers.py")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def newest() -> Path:
    """A folder with transformers 5 and what it depends on (torch stays the environment's)."""
    folder = cache_folder() / f"transformers-{NEWEST}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial)]
        done = subprocess.run([*install, f"transformers=={NEWEST}"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"transformers {NEWEST} could not be installed: {done.stderr[-300:]}")
        partial.rename(folder)
    return folder


@pytest.fixture(params=["4", "5"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Of a process in which that version is the one that is imported."""
    paths = [str(request.getfixturevalue("newest"))] if request.param == "5" else []
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def python(environment: dict[str, str], *arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def run_there(environment: dict[str, str], folder: Path, work: Path, **given: np.ndarray) -> dict:
    np.savez(work / "inputs.npz", **given)
    python(environment, "run", folder, work / "inputs.npz", work / "outputs.npz")
    return dict(np.load(work / "outputs.npz"))


def assert_agrees(folder: Path, ids: np.ndarray, pixels: np.ndarray, there: dict) -> None:
    """Our logits and greedy tokens of one row are theirs."""
    llava = open_checkpoint(str(folder))
    ours = np.where(ids == llava.usage.image_token, IMAGE, ids).astype(np.int32)
    places = np.flatnonzero(ours == IMAGE)
    ours = np.delete(ours, places[1:])
    layout = llava.config.layout((1, 1))
    assert len(places) == len(layout.slots)
    prompt = expand_images(Encoded(ours, np.zeros(len(ours), bool)), [layout], pad_id=0)
    trial = Trial(prompt, pixels.transpose(0, 2, 3, 1), (1, 1))
    outcome = run_here(llava, trial, np.float32)
    np.testing.assert_allclose(outcome.logits, there["logits"][0], atol=1e-4, rtol=0)
    assert outcome.tokens[:8] == there["tokens"][0].tolist()


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_our_export_in_theirs(
    hf_folder: Path, tmp_path: Path, console: Console, environment: dict[str, str], mode: str
):
    """The processor as well: its pixels are ours, its prompt is the template's text."""
    original = tmp_path / "original"
    convert(Conversion(str(hf_folder), original, "original"), console)
    config = original / "config.json"
    config.write_text(config.read_text().replace('"square"', f'"{mode}"'))
    target = tmp_path / "target"
    convert(Conversion(str(original), target, "hf"), console)
    llava, tokenizer = open_checkpoint(str(target)), Tokenizer.from_folder(target)
    assert llava.usage.image_mode == mode
    picture = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
    turns = [(USER, with_images("Hi?", 1))]
    prompt = encode_prompt(turns, get_template("vicuna_v1"), tokenizer)
    ids = np.repeat(prompt, np.where(prompt == IMAGE, llava.config.image_tokens, 1))[None]
    ids = np.where(ids == IMAGE, llava.usage.image_token, ids)
    vision = llava.config.vision
    from PIL import Image

    square = preprocess(Image.fromarray(picture), vision.image_size, mode, vision.mean)
    mean, std = (np.array(x, np.float32) for x in (vision.mean, vision.std))
    pixels = ((square.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    there = run_there(environment, target, tmp_path, ids=ids, pixels=pixels, picture=picture)
    assert_agrees(target, ids[0], pixels, there)
    np.testing.assert_allclose(there["pixels"], pixels, atol=1e-5)
    for name, template in (("default", "vicuna_v1"), ("llava_hf", "hf_llava_1_5")):
        spans = render(get_template(template), [*turns, ("assistant", None)])
        text = "".join("<image>" if span.part == IMAGE else str(span.part) for span in spans)
        assert str(there[f"text_{name}"]) == text
    assert (there["ids"] == llava.usage.image_token).sum() == llava.config.image_tokens


def test_their_folder_here(tmp_path: Path, console: Console, environment: dict[str, str]):
    python(environment, "make", tmp_path / "theirs")
    rng = np.random.default_rng(0)
    ids = np.array([[1, 5, *[96] * 16, 17, 40, 90, 2, 8]])
    pixels = rng.normal(size=(1, 3, 28, 28)).astype(np.float32)
    there = run_there(environment, tmp_path / "theirs", tmp_path, ids=ids, pixels=pixels)
    assert_agrees(tmp_path / "theirs", ids[0], pixels, there)
    target = tmp_path / "again"
    convert(Conversion(str(tmp_path / "theirs"), target, "hf", verify=True), console)
    again = run_there(environment, target, tmp_path, ids=ids, pixels=pixels)
    np.testing.assert_array_equal(again["logits"], there["logits"])
