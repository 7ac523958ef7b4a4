"""Run on eight devices by test_placement.py: the same questions asked of one chip and of two, with
weights as they are and in 8 bits."""

import json

import jax

from llava_jax.inference.placement import tensor_mesh
from llava_jax.inference.scheduler import Scheduler, Shapes
from llava_jax.models.compute import Compute
from tests.inference import tiny
from tests.inference.test_scheduler import compiled_programs, finished, writings

SHAPES = Shapes(slots=5, piece=64, shortest=16)


def figures(chips: int, int8_weights: bool) -> dict[str, object]:
    mesh = tensor_mesh(chips)
    engine = tiny.engine(compute=Compute(int8_weights=int8_weights), mesh=mesh)
    scheduler = Scheduler(engine.config, engine.compute, engine._params, SHAPES, mesh)
    scheduler.warm_up(lambda *_: None)
    engine.warm_up(lambda *_: None)
    before = compiled_programs()
    answers = finished(scheduler, *writings(engine))
    return {
        "answers": answers,
        "compiled_late": [
            now - then for now, then in zip(compiled_programs(), before, strict=True)
        ],
        "share_of_cache": _share(scheduler._cache),
        "share_of_kernel": _share(engine._params["language"]["layers_0"]["mlp"]["gate"]["kernel"]),
    }


def _share(tree: object) -> float:
    """What part of its arrays the first chip holds."""
    leaves = jax.tree.leaves(tree)
    held = sum(leaf.addressable_shards[0].data.size for leaf in leaves)
    return held / sum(leaf.size for leaf in leaves)


if __name__ == "__main__":
    print(json.dumps([[figures(chips, small) for chips in (1, 2)] for small in (False, True)]))
