"""What a flight check found, as numbers: the JSON that it writes."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_jax.config import MeshShape
from llava_jax.tpu.chips import Chip
from llava_jax.tpu.counting.collectives import Traffic


@dataclass(frozen=True)
class StepSeconds:
    """Modelled seconds of one optimizer step (tpu/roofline.py)."""

    compute: float
    hbm: float
    host: float  # offloading to the host's memory
    ici: float  # all collectives, hidden behind computing or not
    ici_exposed: float  # those that are not
    total: float


@dataclass(frozen=True)
class Setting:
    """What was compiled."""

    recipe: str
    stage: str
    topology: str
    chips: int
    mesh: MeshShape
    axes: str  # of the mesh as it was built
    remat: str
    batch: int  # rows of an optimizer step, all chips together
    accumulate: int  # micro-batches that it is computed in
    length: int
    images: int  # image slots of a row
    samples_per_row: float


@dataclass(frozen=True)
class Memory:
    """GiB of HBM on one chip, as the compiler assigned them."""

    usable: float
    peak: float
    arguments: float
    temporaries: float
    over: float = 0.0  # what is missing, where it does not fit; then a lower bound


@dataclass(frozen=True)
class Work:
    """One step on one chip; TFLOP and GiB are those of the compiled program unless "model"."""

    model_tflops: float  # decoder: 6N (4N frozen) and exact causal attention
    vision_tflops: float  # of the tower and the projector, not counted in the MFU
    program_tflops: float  # products and attention kernels
    matrix_tflops: float
    kernel_tflops: float
    hbm_gib: float
    host_gib: float
    collectives: dict[str, Traffic]
    across_slices_gib: float
    aliased_buffers: int  # donated: parameters, moments and counters, updated in place
    # Gradients of the decoder's layer kernels, none where they are frozen; None: a chip's tokens
    # are as many as a width, so they cannot be told from other products.
    layer_weight_gradients: int | None


@dataclass(frozen=True)
class Speed:
    """Modelled, never measured."""

    step_seconds: StepSeconds
    mfu: float
    tokens_per_second_per_chip: float
    images_per_second: float
    hours: float | None  # of the whole stage, without compiling, saving and reading data
    chip_hours: float | None
    steps: int | None
    limited_by: str


@dataclass(frozen=True)
class Trial:
    """One program of a search."""

    topology: str
    axes: str
    remat: str
    batch: int
    accumulate: int
    fits: bool
    peak_hbm_gib: float
    mfu: float | None
    tokens_per_second_per_chip: float | None


@dataclass(frozen=True)
class Report:
    """A flight check; `work` and `speed` are there when the program fits."""

    setting: Setting
    chip: Chip
    memory: Memory
    work: Work | None
    speed: Speed | None
    compile_seconds: float
    warnings: tuple[str, ...] = ()
    tried: tuple[Trial, ...] = ()  # of a search, in its order

    @property
    def fits(self) -> bool:
        return self.work is not None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, flat where the groups above are only for reading the code."""
        setting = dataclasses.asdict(self.setting)
        memory, work, speed = self.memory, self.work, self.speed
        found: dict[str, Any] = {
            "modelled": "from the compiled program and public chip figures, never timed on a TPU",
            **setting,
            "fits": self.fits,
            "peak_hbm_gib": memory.peak,
            "arguments_gib": memory.arguments,
            "temporaries_gib": memory.temporaries,
            "usable_hbm_gib": memory.usable,
            "over_gib": memory.over,
            "compile_seconds": self.compile_seconds,
            "warnings": list(self.warnings),
        }
        if work and speed:
            found |= dataclasses.asdict(work) | dataclasses.asdict(speed)
            found["recompute_overhead"] = self.recompute_overhead
        if self.tried:
            found["tried"] = [dataclasses.asdict(trial) for trial in self.tried]
        return found

    def as_trial(self) -> Trial:
        """What a search keeps of it."""
        setting, speed = self.setting, self.speed
        return Trial(
            topology=setting.topology,
            axes=setting.axes,
            remat=setting.remat,
            batch=setting.batch,
            accumulate=setting.accumulate,
            fits=self.fits,
            peak_hbm_gib=self.memory.peak,
            mfu=speed.mfu if speed else None,
            tokens_per_second_per_chip=speed.tokens_per_second_per_chip if speed else None,
        )

    @property
    def recompute_overhead(self) -> float:
        """The program's FLOPs, kernels included, over the model's, tower included."""
        assert self.work
        return self.work.program_tflops / (self.work.model_tflops + self.work.vision_tflops)

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        partial.replace(path)
