"""Run on eight devices by test_meshes.py: a few steps on each mesh, their figures as JSON."""

import dataclasses
import json

import jax
import numpy as np

from llava_jax import partition
from llava_jax.config import MeshShape, Optimizer, Stage
from llava_jax.mesh import make_mesh
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig, init_params
from llava_jax.sharding import place, place_batch
from llava_jax.training.program import stage_program
from llava_jax.weights.layouts import stack_layers
from tests.training.test_step import CONFIG, LENGTH, STAGE_1, STAGE_2, make_batch

ROWS, STEPS = 16, 3
STAGE = Stage(
    trainable=tuple(STAGE_2),
    rows=ROWS,
    length=LENGTH,
    optimizer=Optimizer(learning_rate=1e-2, warmup=0.0, clip=1.0, weight_decay=0.1),
)
TIED = dataclasses.replace(CONFIG, language=dataclasses.replace(CONFIG.language, tied_head=True))
# name -> (mesh, what else differs, how it is computed[, the model])
CASES = {
    "one": (MeshShape(), {}, {}),
    "fsdp": (MeshShape(fsdp=8), {}, {}),
    "fsdp, scanned, attention kept": (
        MeshShape(fsdp=8), {}, {"scan_layers": True, "remat": "attention"}),
    "tensor": (MeshShape(data=4, fsdp=1, tensor=2), {}, {}),
    "fsdp and tensor": (MeshShape(fsdp=4, tensor=2), {}, {"scan_layers": True, "remat": "full"}),
    "slices, data, fsdp, tensor": (
        MeshShape(slices=2, fsdp=2, tensor=2), {}, {"scan_layers": True}),
    "fsdp, accumulated": (MeshShape(data=2, fsdp=4), {"accumulate": 2}, {}),
    "stage 1": (MeshShape(), {"trainable": tuple(STAGE_1)}, {}),
    "stage 1, fsdp and tensor": (
        MeshShape(data=2, fsdp=2, tensor=2), {"trainable": tuple(STAGE_1)}, {"scan_layers": True}),
    "tied": (MeshShape(), {}, {}, TIED),
    "tied, fsdp and tensor": (MeshShape(fsdp=4, tensor=2), {}, {"scan_layers": True}, TIED),
}  # fmt: skip


def figures(
    shape: MeshShape, change: dict, compute: dict, config: LlavaConfig = CONFIG
) -> dict[str, list[float]]:
    """Losses and gradient norms of a few steps."""
    one = shape == MeshShape()
    mesh = make_mesh(shape, jax.devices()[:1] if one else None)
    stage = dataclasses.replace(STAGE, **change)
    model = Llava(config, Compute(**compute))
    params = jax.tree.map(np.asarray, init_params(Llava(config, Compute()), 0))
    if model.compute.scan_layers:
        params = stack_layers(params)
    program = stage_program(model, stage, mesh, steps=100)
    trainable, resting = partition.split(params, stage.trainable)
    state, frozen = program.first_state(trainable), place(resting, program.frozen)
    step = program.compile()
    batch = {
        name: np.concatenate([array] * (ROWS // len(array))) for name, array in make_batch().items()
    }
    found: dict[str, list[float]] = {"loss": [], "grad_norm": []}
    for _ in range(STEPS):
        state, metrics = step(state, frozen, place_batch(batch, ROWS, mesh))
        for name, values in found.items():
            values.append(float(getattr(metrics, name)))
    return found


if __name__ == "__main__":
    print(json.dumps({name: figures(*case) for name, case in CASES.items()}))
