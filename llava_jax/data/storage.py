"""Files of a data set in remote storage: any URL that fsspec reads (gs://, s3://, https:// ...).

Images are read one by one, whole, when they are asked for. A file that is read at random (a JSON of
records, a shard of ArrayRecord, whose reader opens local files only) is copied once into the cache
folder instead, and shared by all processes of the host; `copied` says how. A remote file pickles as
its URL.
"""

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from llava_jax.config import cache_folder
from llava_jax.errors import UserError

Answer = TypeVar("Answer")

# What the protocols call the mark of a file's content, best first.
_MARKS = ("etag", "ETag", "generation", "md5Hash", "mtime", "updated", "LastModified", "created")
_AT_ONCE = 8  # files that are copied at the same time


@dataclass(frozen=True)
class RemoteFile:
    """A file or folder at a URL, not looked at yet.

    What its methods ask of the storage may raise FileNotFoundError, or UserError if the storage
    cannot be reached, does not let us in, or needs a package that is not installed.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: object) -> "RemoteFile":
        return RemoteFile(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.url.rstrip("/").rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """The whole content."""
        return self._ask(lambda system, path: system.cat_file(path))

    def size(self) -> int:
        """In bytes."""
        return int(self._info()["size"])

    def mark(self) -> str:
        """Another content, another mark: the size, and a tag or time where the storage has one."""
        info = self._info()
        return f"{info['size']} {next((info[key] for key in _MARKS if info.get(key)), '')}"

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        try:
            self._info()
        except FileNotFoundError:
            return False
        return True

    def is_folder(self) -> bool:
        """Whether it is a folder; False if there is nothing."""
        try:
            return self._info()["type"] == "directory"
        except FileNotFoundError:
            return False

    def files(self) -> dict[str, "RemoteFile"]:
        """The files in the folder, by name."""
        names = self._ask(lambda system, path: system.ls(path, detail=True))
        files = [info["name"].rpartition("/")[2] for info in names if info["type"] == "file"]
        return {name: self / name for name in sorted(files) if name}

    def download(self, target: Path, tell: Callable[[int], None]) -> None:
        """Copies it to a local file; `tell` hears of every piece's bytes."""
        self._ask(lambda system, path: system.get_file(path, str(target), callback=_Tell(tell)))

    def _info(self) -> dict[str, Any]:
        def look(system: Any, path: str) -> dict[str, Any]:
            system.invalidate_cache(path)
            return system.info(path)

        return self._ask(look)

    def _ask(self, question: Callable[[Any, str], Answer]) -> Answer:
        try:
            return question(*fsspec.core.url_to_fs(self.url))
        except FileNotFoundError as error:
            # so fsspec's http calls a server that does not answer
            if isinstance(error.__cause__, OSError) and error.__cause__.errno != errno.ENOENT:
                raise self._unreachable(error.__cause__) from error
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise self._unreachable(error) from error
        except Exception as error:  # each protocol's client raises its own kinds
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return UserError(
            f"cannot read {self.url}: {reason}. Check the address, the network and who you are to "
            "the storage (for gs://: gcloud auth application-default login, or the TPU's service "
            "account), then run the same command again"
        )


class _Tell(Callback):
    """Passes on to a function how many bytes came."""

    def __init__(self, tell: Callable[[int], None]):
        super().__init__()
        self._tell = tell

    def relative_update(self, inc: int = 1) -> None:
        self._tell(inc)


def locate(path: str | Path | RemoteFile) -> Path | RemoteFile:
    """A local path, or the remote file that a URL (PROTOCOL://...) names."""
    if isinstance(path, str) and "://" in path:
        return RemoteFile(path)
    return path if isinstance(path, RemoteFile) else Path(path)


def fingerprint(files: Mapping[str, RemoteFile]) -> str:
    """Changes when any of the files does; the same on every host."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        marks = list(pool.map(lambda file: f"{file.url} {file.mark()}", files.values()))
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()


def copied(files: Mapping[str, RemoteFile]) -> Path:
    """A folder below the cache folder with local copies of some files, under the given names.

    It is known by the files' URLs, sizes and tags: what has not changed is not copied again, and
    what changes gets a folder of its own (old ones stay until they are removed). Each file, checked
    by its size, and then the folder, gets its name when it is complete; a copy that was broken off
    goes on with the files that are missing. One process of a host copies while the others wait.

    Raises FileNotFoundError; UserError if the storage cannot be reached or the disk is too small.
    """
    folder = cache_folder() / "remote" / fingerprint(files)[:32]
    if folder.exists():
        return folder
    try:
        with _alone(folder.with_suffix(".lock")):
            if not folder.exists():
                _copy(files, folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(
            f"cannot copy {next(iter(files.values()))} to {folder}: {error.strerror or error}. "
            "Make room there, or set LLAVA_JAX_CACHE to a folder on another disk"
        ) from error
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits until no other process of this host is inside."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy(files: Mapping[str, RemoteFile], folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    missing = {name: file for name, file in files.items() if not (unfinished / name).exists()}
    sizes = {name: file.size() for name, file in missing.items()}
    needed, free = sum(sizes.values()), shutil.disk_usage(unfinished).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"they take {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f}"
        )
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("copying data", total=needed)

        def copy(name: str) -> None:
            partial = unfinished / f"{name}.partial"
            missing[name].download(partial, lambda count: progress.advance(task, count))
            if partial.stat().st_size != sizes[name]:
                got = partial.stat().st_size
                raise OSError(errno.EIO, f"{name} broke off at {got} of {sizes[name]} bytes")
            partial.replace(unfinished / name)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(copy, missing))
    unfinished.rename(folder)
