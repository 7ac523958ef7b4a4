"""From sources to the batches of a training step, through grain.

What stands in which batch is planned before the run (plan.py): rows are numbered, batch k is rows
k*B to (k+1)*B - 1, and each process makes those that its devices compute. A batch is thus a pure
function of its number. That is why the order depends neither on the number of processes, nor of
workers, nor on restarts, and why the iterator's state is one row number, which a run on other
hardware can go on from. The price is to encode all text once before the first step (the numbers
stay in a cache folder); in return the steps of an epoch are known beforehand, packed or not.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import numpy as np
from absl import flags

from llava_jax.data.bad_images import BadImages, Policy
from llava_jax.data.doctor import check
from llava_jax.data.features import BFLOAT16, FeatureCache
from llava_jax.data.packing import Row, make_row
from llava_jax.data.plan import BatchShape, Group, Plan, make_plan
from llava_jax.data.records import Record, Source, StoredImage
from llava_jax.data.samples import Encode
from llava_jax.data.survey import Survey, survey
from llava_jax.errors import UserError
from llava_jax.images import ImageError, Preprocessing

Batch = dict[str, np.ndarray]

AHEAD = 2  # batches that are ready before they are asked for, by each worker


@dataclass(frozen=True)
class SourceSpec:
    """One source of a mixture.

    weight: its share of the samples, relative to the other sources'; None: by its size.
    loss_weight: of its tokens in the loss. features: those of its images, in place of pixels.
    """

    source: Source
    weight: float | None = None
    loss_weight: float = 1.0
    features: FeatureCache | None = None


def make_dataset(
    sources: Sequence[SourceSpec],
    encode: Encode,
    shape: BatchShape,
    preprocessing: Preprocessing,
    *,
    seed: int,
    epochs: float | None = None,
    steps: int | None = None,
    pack_rows: bool = False,
    group: Group = "none",
    own_rows: Sequence[int] | None = None,
    workers: int = 0,
    on_bad_image: Policy = "skip",
    survey_cache: Path | None = None,
) -> "Batches":
    """The batches of a stage. All processes call it with the same arguments but their own rows.

    own_rows: which rows of each batch this process makes; None: all.

    epochs, steps, pack_rows, group: see `make_plan`; the last batch of the last epoch is filled up
    with empty rows. workers: processes that make batches ahead (0: a thread of this one).

    Records with nothing to learn are left out and logged. A sample whose image cannot be read is
    left out of its row when it is met ("skip"), or ends the run with a UserError ("fail").
    Raises UserError as `check` and `make_plan` do, and for sizes that do not go together.
    """
    if not sources:
        raise UserError("the stage has no data: give it at least one source")
    if encode.max_length > shape.length:
        raise UserError(f"samples of {encode.max_length} tokens do not fit in {shape.length}")
    if len({spec.features and spec.features.shape for spec in sources}) > 1:
        raise UserError("either all sources of a mixture have cached features of one shape or none")
    found = [_survey_and_check(spec.source, encode, shape, survey_cache) for spec in sources]
    plan = make_plan(
        found,
        [spec.weight for spec in sources],
        shape,
        seed=seed,
        epochs=epochs,
        steps=steps,
        pack_rows=pack_rows,
        group=group,
    )
    own = tuple(range(shape.rows) if own_rows is None else own_rows)
    maker = BatchMaker(tuple(sources), encode, shape, preprocessing, plan, own)
    return Batches(maker, workers, BadImages(on_bad_image))


def _survey_and_check(
    source: Source, encode: Encode, shape: BatchShape, cache: Path | None
) -> Survey:
    found = survey(source, encode, cache=cache)
    _, images, targets = shape.room
    check(source, found, images=images, targets=targets)
    if found.problems:
        logging.warning(
            "%d of %d records of %s are left out, for nothing can be learned from them: %s",
            len(found.problems),
            len(found),
            source.name,
            next(iter(found.problems.values())),
        )
    return found


@dataclass(frozen=True)
class BatchMaker:
    """Makes this process's rows of any batch: those whose numbers in the batch are `own_rows`."""

    sources: tuple[SourceSpec, ...]
    encode: Encode
    shape: BatchShape
    preprocessing: Preprocessing
    plan: Plan
    own_rows: tuple[int, ...]

    def __call__(self, number: int) -> tuple[Batch, list[ImageError]]:
        """The static batch, and why samples are missing in it.

        `tokens`, `positions`, `segments`, `image_slots` int32 and `loss_weights` float32
        [rows, length] (see `make_row`), and `images` uint8 [rows, images, size, size, 3] or
        `features` bfloat16 [rows, images, patches, D].
        """
        features = self.sources[0].features
        size = self.preprocessing.size
        one_image = (size, size, 3) if features is None else features.shape
        images = np.zeros(
            (len(self.own_rows), self.shape.images, *one_image),
            np.uint8 if features is None else BFLOAT16,
        )
        errors: list[ImageError] = []
        first = number * self.shape.rows
        rows = [self._row(first + row, images[i], errors) for i, row in enumerate(self.own_rows)]
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return {**batch, "images" if features is None else "features": images}, errors

    def _row(self, number: int, images: np.ndarray, errors: list[ImageError]) -> Row:
        samples, weights, filled = [], [], 0
        for place in self.plan.row(number):
            spec, record = self._find(place)
            try:
                arrays = [self._image(spec, image) for image in record.images]
            except ImageError as error:
                errors.append(error)
                continue
            for array in arrays:
                images[filled] = array
                filled += 1
            samples.append(self.encode(record))
            weights.append(spec.loss_weight)
        return make_row(
            samples,
            weights,
            length=self.shape.length,
            image_tokens=self.encode.image_tokens,
            pad_id=self.encode.pad_id,
        )

    def _find(self, place: int) -> tuple[SourceSpec, Record]:
        for spec in self.sources:
            if place < len(spec.source):
                return spec, spec.source[place]
            place -= len(spec.source)
        raise IndexError(place)

    def _image(self, spec: SourceSpec, image: StoredImage) -> np.ndarray:
        if spec.features is not None:
            return spec.features[image]
        return self.preprocessing(image.load())


class Batches(grain.IterDataset):
    """The batches of one process, in order; `len` is the number of steps.

    plan: which records stand where, and what share of the positions they fill. bad_images: the
    unreadable images met so far, also those that workers met.
    """

    def __init__(self, maker: BatchMaker, workers: int, bad_images: BadImages):
        super().__init__()
        self.maker, self.workers, self.bad_images = maker, workers, bad_images
        self.plan, self.rows = maker.plan, maker.shape.rows

    def __len__(self) -> int:
        return -(-self.plan.rows // self.rows)

    def __iter__(self) -> "BatchIterator":
        return BatchIterator(self)

    def start_at(self, number: int) -> grain.DatasetIterator:
        """Batches from that number on, each with its errors, made ahead."""
        batches = grain.MapDataset.range(number, len(self)).map(self.maker)
        ahead = batches.to_iter_dataset(
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        )
        if self.workers:
            if not flags.FLAGS.is_parsed():  # grain asks them, and only launchers parse them
                flags.FLAGS.mark_as_parsed()
            options = grain.MultiprocessingOptions(self.workers, per_worker_buffer_size=AHEAD)
            ahead = ahead.mp_prefetch(options, _end_with_the_run)
        return iter(ahead)


def _end_with_the_run(number: int, count: int) -> None:
    """In a worker: ends it where the run was killed, and so could not."""

    def watch() -> None:
        run = multiprocessing.parent_process()
        assert run is not None
        run.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class BatchIterator(grain.DatasetIterator):
    """Goes through `Batches`; its state is a row number and holds on any number of processes."""

    def __init__(self, dataset: Batches):
        super().__init__()
        self._dataset = dataset
        self._next = 0
        self._ahead: grain.DatasetIterator | None = None

    def __next__(self) -> Batch:
        self.start_prefetch()
        assert self._ahead is not None
        batch, errors = next(self._ahead)
        self._next += 1
        self._dataset.bad_images.note(errors)
        return batch

    def start_prefetch(self) -> None:
        """Begins to make batches, so that the first is ready when it is asked for."""
        if self._ahead is None:
            self._ahead = self._dataset.start_at(self._next)
            self._ahead.start_prefetch()

    def get_state(self) -> dict[str, Any]:
        """The next row, and which plan it belongs to."""
        plan = self._dataset.plan.fingerprint
        return {"row": self._next * self._dataset.rows, "plan": plan}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state. Raises UserError if it belongs to other data."""
        if state["plan"] != self._dataset.plan.fingerprint:
            raise UserError(
                "the saved position belongs to other data or another way of batching them: put "
                "them back as they were, or begin in a new folder"
            )
        if state["row"] % self._dataset.rows:
            raise UserError(
                f"the saved position, row {state['row']}, lies within a batch of "
                f"{self._dataset.rows} rows: go on with the batch size that was saved"
            )
        self.close()
        self._closed = False
        self._ahead = None
        self._next = state["row"] // self._dataset.rows

    def close(self) -> None:
        """Stops the workers."""
        if self._ahead is not None:
            self._ahead.close()
        super().close()
