"""LLaVA's records: a JSON file of conversations and a folder of images, read one at a time.

Both may lie in remote storage (storage.py): the JSON is copied, the images are read from there.
Format: github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from llava_jax.data.storage import RemoteFile, copied, fingerprint, locate
from llava_jax.errors import UserError
from llava_jax.images import ImageError, load_image

Turn = dict[str, str]

LOOKED_FOR = 8  # records whose images are looked for in remote storage when a source is opened


@dataclass(frozen=True)
class StoredImage:
    """A record's image, not read yet. name: what the record calls it; content: file or bytes.

    For a remote file each of the methods is a request, and raises UserError if the storage cannot
    be reached: that is not the image's fault, and no reason to train without it.
    """

    name: str
    content: Path | RemoteFile | bytes

    def key(self) -> str:
        """Name and content's mark (a file's size and time, else a digest): another image, another
        key. Raises ImageError if there is no such file.
        """
        if isinstance(self.content, bytes):
            return f"{self.name} {hashlib.sha256(self.content).hexdigest()[:32]}"
        try:
            if isinstance(self.content, RemoteFile):
                return f"{self.name} {self.content.mark()}"
            status = self.content.stat()
        except OSError as error:
            raise _unreadable(self.content, error) from None
        return f"{self.name} {status.st_size} {status.st_mtime_ns}"

    def read(self) -> bytes:
        """The encoded bytes. Raises ImageError if the file cannot be read."""
        if isinstance(self.content, bytes):
            return self.content
        try:
            return self.content.read_bytes()
        except OSError as error:
            raise _unreadable(self.content, error) from None

    def load(self) -> Image.Image:
        """The decoded image. Raises ImageError if it is missing or corrupt."""
        path = self.name if isinstance(self.content, bytes) else self.content
        return load_image(self.read(), str(path))


def _unreadable(path: Path | RemoteFile, error: OSError) -> ImageError:
    reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
    return ImageError(str(path), reason or str(error))


@dataclass(frozen=True)
class Record:
    """One conversation and its images, in the order of its image markers.

    conversations: turns of the form {"from": "human" or "gpt", "value": text}.
    """

    id: str
    conversations: list[Turn]
    images: tuple[StoredImage, ...]


@runtime_checkable
class Source(Protocol):
    """Records by number. Sources are handed to worker processes: they pickle small."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def fingerprint(self) -> str:
        """Changes when the stored data changes."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...


class LlavaJson:
    """The records of a JSON list or a JSONL file, with images below a folder.

    The file is scanned once, every record checked and its place noted; a record is parsed when it
    is asked for, so neither this process nor a worker holds the data set in memory.

    path, image_folder: local, or URLs that fsspec reads (as texts: gs://BUCKET/chat.json).

    Raises UserError for a file that is missing, empty or not JSON, and for a record that is not of
    the format, by its number and id. Images are not looked at: reading one may raise ImageError.
    """

    def __init__(self, path: str | Path, image_folder: str | Path | None = None):
        self.path = locate(path)
        self.image_folder = None if image_folder is None else locate(image_folder)
        if isinstance(self.image_folder, Path) and not self.image_folder.is_dir():
            raise UserError(f"the image folder {self.image_folder} does not exist")
        self._local = self.path if isinstance(self.path, Path) else self._copied(self.path)
        self._spans = self._scan()
        self._file: int | None = None
        if isinstance(self.image_folder, RemoteFile):
            self._check_images(self.image_folder)

    @property
    def name(self) -> str:
        return str(self.path)

    def fingerprint(self) -> str:
        if isinstance(self.path, RemoteFile):
            return fingerprint({self.path.name: self.path})
        status = self.path.stat()
        text = f"{self.path.resolve()} {status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Record:
        start, stop = self._spans[index]
        if self._file is None:
            self._file = os.open(self._local, os.O_RDONLY)
        content = os.pread(self._file, stop - start, start)
        return self._record(json.loads(content), int(index))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            os.close(file)

    @staticmethod
    def _copied(file: RemoteFile) -> Path:
        try:
            return copied({file.name: file}) / file.name
        except FileNotFoundError:
            raise UserError(f"cannot read the data {file}: there is no such file") from None

    def _check_images(self, folder: RemoteFile) -> None:
        """Storage has no folders to ask for: some of the images themselves must be there."""
        places = np.linspace(0, len(self) - 1, min(LOOKED_FOR, len(self))).astype(int).tolist()
        images = [image for place in places for image in self[place].images]
        if images and not any((folder / image.name).exists() for image in images):
            raise UserError(
                f"none of {len(images)} images looked for is in the image folder {folder}, such as "
                f"{images[0].name}: check the folder's address"
            )

    def _scan(self) -> np.ndarray:
        try:
            text = self._local.read_bytes().decode("utf-8")
        except OSError as error:
            raise UserError(f"cannot read the data {self.path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UserError(f"the data {self.path} is not UTF-8 text: {error}") from None
        spans = []
        try:
            for index, (value, start, stop) in enumerate(_values(text)):
                self._record(value, index)
                spans.append((start, stop))
        except json.JSONDecodeError as error:
            raise UserError(
                f"the data {self.path} is neither a JSON list nor JSON lines: {error}"
            ) from None
        if not spans:
            raise UserError(f"the data {self.path} holds no records")
        return np.array(spans, np.int64)

    def _record(self, value: Any, index: int) -> Record:
        label = f"record {index} of {self.path}"
        if not isinstance(value, dict):
            raise UserError(f"{label} is not an object with `conversations`")
        identity = str(value.get("id", index))
        label = f"{label} (id {identity!r})"
        turns = value.get("conversations")
        if not isinstance(turns, list) or not turns:
            raise UserError(f"{label} has no `conversations`")
        for turn in turns:
            if not isinstance(turn, dict) or not all(
                isinstance(turn.get(key), str) for key in ("from", "value")
            ):
                raise UserError(f"{label} has a turn without the texts `from` and `value`")
        conversations = [{"from": turn["from"], "value": turn["value"]} for turn in turns]
        return Record(identity, conversations, self._images(value.get("image"), label))

    def _images(self, value: Any, label: str) -> tuple[StoredImage, ...]:
        names = [] if value is None else value if isinstance(value, list) else [value]
        if names and self.image_folder is None:
            raise UserError(f"{label} has an image, but no image folder is given")
        images = []
        for name in names:
            if not isinstance(name, str) or not name:
                raise UserError(f"{label} has an `image` that is no file name: {name!r}")
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise UserError(f"{label} has an `image` outside the image folder: {name!r}")
            images.append(StoredImage(name, (self.image_folder or Path()) / str(path)))
        return tuple(images)


def _values(text: str) -> Iterator[tuple[Any, int, int]]:
    """Each element of a JSON list, or each of a sequence of values, with its place in bytes."""
    decoder = json.JSONDecoder()
    position = _skip(text, 0, " \t\r\n")
    is_list = text.startswith("[", position)
    position += is_list
    counted = place = 0  # the byte offset `place` of character `counted`
    while True:
        position = _skip(text, position, " \t\r\n")
        if position == len(text) and not is_list:
            return
        if is_list and text.startswith("]", position):
            return
        value, stop = decoder.raw_decode(text, position)
        place += len(text[counted:position].encode())
        end = place + len(text[position:stop].encode())
        yield value, place, end
        counted, place = stop, end
        position = _skip(text, stop, " \t\r\n")
        if is_list and not text.startswith("]", position):
            if not text.startswith(",", position):
                raise json.JSONDecodeError("expected ',' or ']'", text, position)
            position += 1


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position
