"""LLaVA's records as a TFDS data set: ArrayRecord files that need no folder of loose images.

Written and read without TensorFlow; images stay the encoded bytes they were. A data set in remote
storage is copied to every host once (storage.py), since ArrayRecord reads local files at random:
where the disk does not hold it, leave the JSON and the images in the storage instead.
"""

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from rich.console import Console
from rich.progress import track

from llava_jax.data.bad_images import BadImages
from llava_jax.data.records import LlavaJson, Record, Source, StoredImage
from llava_jax.data.storage import RemoteFile, copied, locate
from llava_jax.errors import UserError
from llava_jax.images import ImageError


class LlavaBuilder(tfds.core.GeneratorBasedBuilder):
    """Any source of records as a TFDS builder with one split, `train`, in the source's order."""

    name = "llava_records"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source: Source, bad_images: BadImages, data_dir: str | Path):
        self._source, self._bad_images = source, bad_images
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        text, encoded = tfds.features.Text(), tfds.features.Text()  # Text takes any bytes
        features = {
            "id": text,
            "images": tfds.features.Sequence({"name": text, "content": encoded}),
            "conversations": tfds.features.Sequence({"from": text, "value": text}),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description="Conversations about images in the format of LLaVA.",
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(source=self._source.fingerprint()),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        written = 0
        numbers = range(len(self._source))
        progress = Console(stderr=True)
        for index in track(numbers, "writing records", console=progress, transient=True):
            record = self._source[index]
            try:
                images = [self._encoded(image) for image in record.images]
            except ImageError as error:
                self._bad_images.note([error])
                continue
            written += 1
            yield (
                index,
                {"id": record.id, "images": images, "conversations": record.conversations},
            )
        if not written:
            raise UserError(f"no record of {self._source.name} has images that can be read")

    @staticmethod
    def _encoded(image: StoredImage) -> dict[str, Any]:
        image.load()  # what cannot be decoded is found now, not during a run
        return {"name": image.name, "content": image.read()}


class LlavaTfds:
    """The records of a data set that `build` wrote; read at random, from any process.

    data_dir: local, or a URL that fsspec reads. Raises UserError if it holds no such data set, or
    if it is remote and cannot be copied.
    """

    def __init__(self, data_dir: str | Path):
        self.stored = _find(locate(data_dir))
        self.path = _copied(self.stored) if isinstance(self.stored, RemoteFile) else self.stored

    @property
    def name(self) -> str:
        return str(self.stored)

    def fingerprint(self) -> str:
        return hashlib.sha256((self.path / "dataset_info.json").read_bytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Record:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        example = self._examples[index % len(self)]
        images, turns = example["images"], example["conversations"]
        return Record(
            example["id"].decode(),
            [
                {"from": role.decode(), "value": text.decode()}
                for role, text in zip(turns["from"], turns["value"], strict=True)
            ],
            tuple(
                StoredImage(name.decode(), content)
                for name, content in zip(images["name"], images["content"], strict=True)
            ),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"stored": self.stored, "path": self.path}

    @cached_property
    def _examples(self) -> Any:
        builder = tfds.builder_from_directory(str(self.path))
        return builder.as_data_source("train")  # pyright: ignore[reportCallIssue]


def build(
    json_path: str | Path,
    image_folder: str | Path | None,
    data_dir: str | Path,
    bad_images: BadImages,
) -> LlavaTfds:
    """Writes a LLaVA JSON or JSONL file and its images as ArrayRecord files below data_dir.

    Records with an unreadable image are left out, by the policy of bad_images. If data_dir holds
    these same data already they are kept. Raises UserError as LlavaJson does, if no record is
    left, if data_dir holds other data, or cannot be written.
    """
    if isinstance(locate(data_dir), RemoteFile):
        raise UserError(f"build in a local folder, then copy it to {data_dir}")
    source = LlavaJson(json_path, image_folder)
    builder = LlavaBuilder(source, bad_images, data_dir)
    path = Path(str(builder.data_path))
    if path.exists() and builder.info.metadata != {"source": source.fingerprint()}:
        raise UserError(f"{path} was built from other data: remove it or choose another folder")
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where progress belongs
            builder.download_and_prepare()
    except OSError as error:
        raise UserError(f"cannot write the data set {path}: {error.strerror}") from error
    return LlavaTfds(data_dir)


def _find(data_dir: Path | RemoteFile) -> Path | RemoteFile:
    inside = data_dir / LlavaBuilder.name / str(LlavaBuilder.VERSION)
    for path in (data_dir, inside):
        if (path / "dataset_info.json").exists():
            return path
    raise UserError(f"{data_dir} holds no TFDS data set of LLaVA records: build it first")


def _copied(folder: RemoteFile) -> Path:
    try:
        return copied(folder.files())
    except FileNotFoundError as error:
        raise UserError(f"the data set {folder} is incomplete: there is no {error}") from None
