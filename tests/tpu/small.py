"""A LLaVA small enough to compile for a TPU in seconds, of sizes that its kernels take."""

import dataclasses

import pytest

from llava_jax.config import MeshShape, Model, Recipe, Source, Stage
from llava_jax.models import sizes
from llava_jax.models.language import LanguageConfig
from llava_jax.tpu.flight_check import Check
from llava_jax.tpu.topology import parse_topology

LANGUAGE = LanguageConfig(vocab_size=1536, width=512, mlp_width=1408, depth=2, heads=4, kv_heads=4)
ROWS, LENGTH = 16, 256  # 1024 tokens a chip: no width of the decoder, so products can be told apart
STAGES = {
    "align": Stage(rows=ROWS, length=LENGTH, data={"pairs": Source(records=1000)}),
    "instruct": Stage(
        trainable=("projector/.*", "language/.*"),
        rows=ROWS,
        length=LENGTH,
        data={"mix": Source(records=1001)},
        epochs=3.0,
    ),
}


def small_check(
    stage: str, topology: str, patch: pytest.MonkeyPatch, remat: str = "full", **changes: object
) -> Check:
    """A check of the small recipe; changes are of its stage."""
    patch.setitem(sizes.LANGUAGE, "small", LANGUAGE)
    recipe = Recipe(
        name="small",
        remat=remat,  # type: ignore[arg-type]
        mesh=MeshShape(),
        model=Model(vision="tiny_clip", language="small"),
        stages=tuple(STAGES),
        stage=dict(STAGES, **{stage: dataclasses.replace(STAGES[stage], **changes)}),  # type: ignore[arg-type]
    )
    return Check(recipe, stage, parse_topology(topology))
