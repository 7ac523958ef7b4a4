"""The run of a recipe: its stages in order, each resumed where it was left."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from jax.sharding import Mesh

from llava_jax import partition
from llava_jax.config import Recipe, Stage
from llava_jax.data.features import FeatureCache
from llava_jax.data.pipeline import Batches, BatchIterator
from llava_jax.data.records import Record
from llava_jax.errors import Stopped, UserError
from llava_jax.inference.engine import Engine
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.mesh import check_rows, describe, make_mesh
from llava_jax.models.compute import Compute, local_compute
from llava_jax.models.llava import Llava
from llava_jax.processes import StopSignal, first_alone, is_first
from llava_jax.report import timed
from llava_jax.run_folder import RunFolder, on_disk
from llava_jax.sharding import place, place_batch
from llava_jax.training.flops import step_flops
from llava_jax.training.metrics import Goodput, MetricsLog, StageProgress, say
from llava_jax.training.optimizer import cosine_with_warmup
from llava_jax.training.program import StageProgram, abstract_frozen, stage_program
from llava_jax.training.samples import sample_records, write_samples
from llava_jax.training.scene_data import make_scene_data
from llava_jax.training.stage import (
    batch_counts,
    check_stage,
    most_targets,
    stage_batches,
    stored_images,
    tower_features,
)
from llava_jax.training.step import State, StepMetrics
from llava_jax.training.warm_start import fit_projector
from llava_jax.weights.base import Base, load_base
from llava_jax.weights.checkpoints import StageCheckpoints
from llava_jax.weights.workdir import checkpoint_folder, save_recipe, stage_folder


def train(recipe: Recipe, workdir: RunFolder) -> partition.Params:
    """Trains every stage of the recipe that is not done yet, and returns the model's parameters.

    Raises:
      UserError: data, weights, batch or folder that the recipe cannot be trained with.
    """
    mesh = make_mesh(recipe.mesh)
    for name in recipe.stages:
        check_rows(recipe.stage[name].rows, recipe.stage[name].accumulate, mesh)
    with first_alone("scenes"):
        save_recipe(workdir, recipe)
        with timed(workdir, "data"):
            make_scene_data(recipe, on_disk(workdir))
    compute = local_compute(recipe.dtype, recipe.remat)
    base = load_base(recipe, compute)
    params = base.params
    for name in recipe.stages:  # whatever can be wrong with the last is said before the first
        check_stage(recipe.stage[name], params, on_disk(workdir))
    for name in recipe.stages:
        run = StageRun(recipe, name, workdir, base, compute, mesh)
        params = run.train(params)
    return params


@dataclass(frozen=True)
class StageRun:
    """One stage of a run, with all that it is run on."""

    recipe: Recipe
    name: str
    workdir: RunFolder
    base: Base
    compute: Compute
    mesh: Mesh

    @property
    def stage(self) -> Stage:
        return self.recipe.stage[self.name]

    @property
    def disk(self) -> Path:
        """Where the run keeps what must be on a disk."""
        return on_disk(self.workdir)

    @property
    def model(self) -> Llava:
        return Llava(self.base.config, self.compute)

    def train(self, params: partition.Params) -> partition.Params:
        """Takes the model through the stage, from its newest checkpoint if there is one."""
        stage = self.stage
        trainable, resting = partition.split(params, stage.trainable)
        frozen = place(resting, abstract_frozen(self.model, stage, self.mesh))
        with StageCheckpoints(
            checkpoint_folder(self.workdir, self.name), self.recipe.keep
        ) as checkpoints:
            with first_alone("data"), timed(self.workdir, "data"):
                features = tower_features(self.recipe, stage, self.disk, self.model, frozen)
                batches = stage_batches(
                    self.recipe, stage, self.disk, self.base, features, self.mesh
                )
            program = stage_program(
                self.model, stage, self.mesh, steps=len(batches), targets=most_targets(batches)
            )
            iterator = iter(batches)
            if checkpoints.latest is None:
                if stage.warm_start:
                    with timed(self.workdir, "train"):
                        trainable = trainable | {"projector": self._warm_start(params, features)}
                state = program.first_state(trainable)
            else:
                state, position = restored(checkpoints, program)
                iterator.set_state(position)
            if state.step < len(batches):
                with timed(self.workdir, "train"):
                    state = self._steps(state, frozen, batches, iterator, program, checkpoints)
            else:
                say(f"stage {self.name}: done before, {len(batches)} steps")
        # Not the copy in the compute dtype: the next stage's masters may start from these.
        return partition.merge(state.params, resting)

    def _warm_start(
        self, params: partition.Params, features: FeatureCache | None
    ) -> partition.Params:
        """The projector fitted to what the images' boxes are called."""
        if features is None:
            raise UserError("warm_start reads the tower's features: set cache_features as well")
        stored = stored_images(self.stage, self.disk)
        folder = Path(self.stage.warm_start.format(workdir=self.disk))
        scenes = read_whole(CocoFiles.in_folder(folder))
        return fit_projector(
            self.base.config.projector,
            params["projector"],
            [scene for scene in scenes if scene.image in stored],
            lambda scene: features[stored[scene.image]],
            self.stage.image_mode,
            self.base.tokenizer,
            np.asarray(params["language"]["embed"]["embedding"], np.float32),
            self.compute,
        )

    def _steps(
        self,
        state: State,
        frozen: partition.Params,
        batches: Batches,
        iterator: BatchIterator,
        program: StageProgram,
        checkpoints: StageCheckpoints,
    ) -> State:
        recipe, stage, total = self.recipe, self.stage, len(batches)
        first, goodput = int(state.step), Goodput()
        rate = cosine_with_warmup(stage.optimizer.learning_rate, total, stage.optimizer.warmup)
        folder, shown = stage_folder(self.workdir, self.name), self._shown()
        with (
            MetricsLog(folder, first) if is_first() else nullcontext() as log,
            StageProgress(self.name, total, first) as progress,
            StopSignal() as stop,
        ):
            progress.say(self._introduction(state, frozen, batches, first))
            step = program.compile()
            batch, position = next(iterator), iterator.get_state()
            placed = place_batch(batch, stage.rows, self.mesh)
            for number in range(first, total):
                with goodput.step():
                    state, metrics = step(state, frozen, placed)
                    done, here, saved_position = number + 1, batch, position
                    if done < total:  # made ready while the devices compute
                        batch, position = next(iterator), iterator.get_state()
                        placed = place_batch(batch, stage.rows, self.mesh)
                    loss = float(metrics.loss)  # waits for the step
                figures = self._figures(loss, metrics, here, goodput, float(rate(number)))
                if log is not None:
                    log.write(number, figures)
                progress.advance(done)
                if done % recipe.log_every == 0 or done == total:
                    progress.show(done, figures)
                stopped = stop.stops_after(done)
                if done % recipe.save_every == 0 or done == total or stopped:
                    if log is not None:  # first: no checkpoint is without the figures before it
                        log.publish()
                    checkpoints.save(done, state.params, state.optimizer, saved_position)
                if stopped:
                    checkpoints.wait()
                    raise Stopped(
                        f"stopped after step {done} of stage {self.name}, which is saved: run the "
                        "same command again to go on"
                    )
                sampled = recipe.sample_every and done % recipe.sample_every == 0
                if shown and (sampled or done == total):
                    progress.say(f"sample answers: {self._sample(shown, state, frozen, done)}")
            if batches.bad_images.times:
                progress.say(
                    f"{len(batches.bad_images.times)} images could not be read and were skipped: "
                    f"{', '.join(list(batches.bad_images.reasons)[:5])}"
                )
        iterator.close()
        return state

    def _shown(self) -> list[Record]:
        """What sample answers are written about; several processes write none."""
        return sample_records(self.stage, self.disk) if jax.process_count() == 1 else []

    def _sample(
        self, shown: list[Record], state: State, frozen: partition.Params, done: int
    ) -> RunFolder:
        engine = Engine(
            self.base.config,
            partition.merge(state.params, frozen),
            self.compute,
            self.base.tokenizer,
            self.stage.template,
            self.stage.image_mode,
        )
        path = stage_folder(self.workdir, self.name) / "samples" / f"step_{done:06d}.png"
        return write_samples(engine, shown, path)

    def _introduction(
        self, state: State, frozen: partition.Params, batches: Batches, first: int
    ) -> str:
        trained, resting = (
            sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state.params, frozen)
        )
        return (
            f"stage {self.name}: {trained / 1e6:.1f}M parameters trained, "
            f"{resting / 1e6:.1f}M frozen; {len(batches)} steps of {self.stage.rows} rows of "
            f"{self.stage.length} tokens, {batches.plan.fill:.0%} filled; on {describe(self.mesh)}"
            + (f"; resumed at step {first}" if first else "")
        )

    def _figures(
        self,
        loss: float,
        metrics: StepMetrics,
        batch: dict[str, np.ndarray],
        goodput: Goodput,
        rate: float,
    ) -> dict[str, float]:
        counts, seconds = batch_counts(batch, self.base.config.image_tokens), goodput.latest
        flops = step_flops(
            self.base.config,
            self.base.params,
            self.stage.trainable,
            cached_features=self.stage.cache_features,
            **counts,
        )
        # Of several processes each sees its own rows, which stand for the others'.
        share = len(batch["tokens"]) / self.stage.rows
        return {
            "loss": loss,
            "grad_norm": float(metrics.grad_norm),
            "learning_rate": rate,
            "seconds": seconds,
            "tokens_per_second": counts["tokens"] / share / seconds,
            "images_per_second": counts["images"] / share / seconds,
            "padding": 1 - counts["tokens"] / batch["tokens"].size,
            "tflops_per_second": flops / share / seconds / 1e12,
            "memory_gib": _memory_in_use() / 2**30,
            "goodput": goodput.share,
        }


def restored(checkpoints: StageCheckpoints, program: StageProgram) -> tuple[State, dict[str, Any]]:
    """The newest checkpoint, each shard read straight to its device; and the place in the data."""
    params, optimizer, position = checkpoints.restore(program.state.params, program.state.optimizer)
    return program.state_at(checkpoints.latest or 0, params, optimizer), position


def _memory_in_use() -> int:
    """Bytes on the first device, or of this process where the device does not say (CPU)."""
    device = jax.local_devices()[0].memory_stats()
    return device["bytes_in_use"] if device else psutil.Process().memory_info().rss
