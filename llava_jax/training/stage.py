"""A stage's data: its sources, its batches, and the features of its images."""

from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from llava_jax import partition
from llava_jax.config import Recipe, Source, Stage
from llava_jax.data.bad_images import BadImages
from llava_jax.data.features import FeatureCache
from llava_jax.data.pipeline import Batches, SourceSpec, make_dataset
from llava_jax.data.plan import BatchShape
from llava_jax.data.records import LlavaJson, StoredImage
from llava_jax.data.records import Source as Records
from llava_jax.data.samples import ConversationEncoder
from llava_jax.data.storage import RemoteFile, locate
from llava_jax.data.tfds_builder import LlavaTfds
from llava_jax.errors import UserError
from llava_jax.images import Preprocessing
from llava_jax.models.llava import Llava, LlavaConfig
from llava_jax.sharding import own_rows
from llava_jax.text.templates import get_template
from llava_jax.training.optimizer import make_optimizer
from llava_jax.weights.base import Base

_TOWER_BATCH = 32


def open_source(source: Source, workdir: Path) -> Records:
    """The records of one part of a mixture: a JSON file and its images, or a TFDS folder."""
    path, images = (text.format(workdir=workdir) for text in (source.path, source.images))
    place = locate(path)
    is_folder = place.is_folder() if isinstance(place, RemoteFile) else place.is_dir()
    return LlavaTfds(path) if is_folder else LlavaJson(path, images)


def check_stage(stage: Stage, params: partition.Params, workdir: Path) -> None:
    """Raises UserError for a mistake in the stage that can be seen before it is reached."""
    get_template(stage.template)
    trainable, _ = partition.split(params, stage.trainable)
    make_optimizer(stage.optimizer, trainable, steps=1)
    for source in stage.data.values():
        place = locate(source.path.format(workdir=workdir))
        if isinstance(place, Path) and not place.exists():
            open_source(source, workdir)  # which says so


def stage_batches(
    recipe: Recipe,
    stage: Stage,
    workdir: Path,
    base: Base,
    features: FeatureCache | None,
    mesh: Mesh,
) -> Batches:
    """The rows of the stage's batches that this process's devices compute, in their order.

    features: the tower's features of all the stage's images, or None to read pixels.
    """
    encode = ConversationEncoder(
        get_template(stage.template),
        base.tokenizer,
        base.config.image_tokens,
        stage.longest_sample,
    )
    specs = [
        SourceSpec(open_source(source, workdir), source.weight or None, features=features)
        for source in stage.data.values()
    ]
    return make_dataset(
        specs,
        encode,
        BatchShape(stage.rows, stage.length, stage.images),
        _preprocessing(stage, base.config),
        seed=recipe.seed,
        epochs=None if stage.steps else stage.epochs,
        steps=stage.steps or None,
        pack_rows=stage.pack,
        group=stage.group,
        own_rows=own_rows(stage.rows, mesh),
        workers=recipe.workers,
        on_bad_image=recipe.on_bad_image,
        survey_cache=workdir / "data" / "surveys",
    )


def tower_features(
    recipe: Recipe,
    stage: Stage,
    workdir: Path,
    model: Llava,
    frozen: partition.Params,
) -> FeatureCache | None:
    """The frozen tower's features of every image of the stage, where the recipe caches them.

    Raises:
      UserError: the stage would train the tower, so its features do not stay the same; or there
        are several processes, which cannot share one cache.
    """
    if not stage.cache_features:
        return None
    if jax.process_count() > 1:
        raise UserError("cache_features is for runs of one process: leave it out of this stage")
    if any(pattern.startswith("vision") for pattern in stage.trainable):
        raise UserError("cache_features cannot be on in a stage that trains the vision tower")

    @jax.jit
    def encode(vision: partition.Params, images: Array) -> Float[Array, "n features d"]:
        return model.apply({"params": {"vision": vision}}, images, method="encode_images")

    return FeatureCache.build(
        workdir / "data" / "features" / stage.image_mode,
        [open_source(source, workdir) for source in stage.data.values()],
        lambda images: encode(frozen["vision"], images),
        tower=f"{model.config.vision} {recipe.weights.vision} {model.compute.dtype}",
        preprocessing=_preprocessing(stage, model.config),
        batch=_TOWER_BATCH,
        bad_images=BadImages(recipe.on_bad_image),
    )


def _preprocessing(stage: Stage, config: LlavaConfig) -> Preprocessing:
    return Preprocessing(config.vision.image_size, stage.image_mode, config.vision.mean)


def most_targets(batches: Batches) -> int:
    """Supervised tokens of the row that has most, rounded up so that stages share programs."""
    return min(-(-batches.plan.targets // 32) * 32, batches.maker.shape.length)


def batch_counts(batch: dict[str, np.ndarray], image_tokens: int) -> dict[str, int]:
    """What a batch holds: the numbers that rates and FLOPs are made from."""
    segments = batch["segments"].astype(np.int64)
    rows = np.arange(len(segments))[:, None] * (segments.max() + 1)
    lengths = np.bincount((rows + segments)[segments > 0])
    return {
        "tokens": int((segments > 0).sum()),
        "squared_lengths": int((lengths**2).sum()),
        "targets": int((batch["loss_weights"] > 0).sum()),
        "images": int((batch["image_slots"] >= 0).sum()) // image_tokens,
    }


def stored_images(stage: Stage, workdir: Path) -> dict[str, StoredImage]:
    """All images of a stage by the last part of their name."""
    sources = [open_source(source, workdir) for source in stage.data.values()]
    records = (source[i] for source in sources for i in range(len(source)))
    return {Path(image.name).name: image for record in records for image in record.images}
