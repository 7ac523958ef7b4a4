"""Where a run lives: a folder of this machine, or one behind a URL (gs://BUCKET/run).

A remote folder holds what a run must not lose with its machine: the recipe, checkpoints, metrics,
sample answers, the report. What has to be a file of a disk (drawn scenes, surveys, the features of
a tower: all made again where they are missing) lies in a folder of the cache that belongs to the
URL. Whether a folder is remote is asked here alone.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import fsspec
from etils import epath

from llava_jax.config import cache_folder
from llava_jax.errors import UserError

RunFolder: TypeAlias = Path | epath.Path


def run_folder(place: str) -> RunFolder:
    """The folder that a path or URL names; nothing is looked up yet.

    Raises UserError where runs cannot be kept behind such a URL.
    """
    if not place:
        raise UserError("--workdir is empty: name a folder for the run")
    if "://" not in place:
        return Path(place).expanduser()
    # Orbax's own client and other hosts write there too: a listing does not stay true.
    protocol = place.partition("://")[0]
    fsspec.config.conf.setdefault(protocol, {})["use_listings_cache"] = False
    try:
        return epath.Path(place)
    except KeyError:
        raise UserError(
            f"--workdir={place}: a run cannot be kept behind {protocol}://: give "
            "gs://BUCKET/FOLDER, or a folder of this machine"
        ) from None


def refuse_url(flag: str, place: str) -> None:
    """Raises UserError if a program that reads or writes local folders alone is given a URL."""
    if "://" in place:
        raise UserError(
            f"{flag}={place} is a URL, which this program does not open: give a folder of this "
            "machine; gcloud storage cp -r gs://BUCKET/FOLDER . copies a run here"
        )


def writable(flag: str, place: str) -> Path:
    """A local file that a program is to write at its end, its folder made.

    Raises UserError where it could not be written; better before the work than after it.
    """
    refuse_url(flag, place)
    path = Path(place).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        if path.stat().st_size == 0:
            path.unlink()
    except OSError as error:
        raise UserError(f"{flag}={place} cannot be written: {error}") from error
    return path


def is_remote(path: RunFolder) -> bool:
    """Whether it is behind a URL."""
    return "://" in str(path)


def on_disk(folder: RunFolder) -> Path:
    """Where files of the folder lie that must be on a disk: the folder itself if it is local."""
    if is_remote(folder):
        return cache_folder() / "runs" / hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    return Path(folder)


def write_whole(path: RunFolder, content: bytes) -> None:
    """Makes or replaces a file, whole or not at all, as an object in a bucket always is."""
    if is_remote(path):
        with reaching(path):
            path.write_bytes(content)
        return
    with reaching(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


@contextmanager
def reaching(path: RunFolder) -> Iterator[None]:
    """Turns what a disk, or whatever a remote storage's client, raises inside into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each client raises its own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        if not is_remote(path):
            if not isinstance(error, OSError):
                raise
            raise UserError(
                f"cannot read or write {path} ({reason}): make room, or name a folder "
                "that is yours to write to"
            ) from error
        raise UserError(
            f"cannot read or write {path} ({reason}): see that the bucket exists, that the network "
            "is there, and that you may write to it (for gs://: gcloud auth application-default "
            "login, or the TPU's service account), then run the same command again"
        ) from error
