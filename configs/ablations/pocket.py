"""Ablations of the pocket recipe: each thing alone, the rest as the recipe has it.

python launch/ablate.py --config=configs/pocket.py --out=DIR --plan=configs/ablations/pocket.py
"""

from llava_jax.evaluation.ablation.plan import Factor, Grid

_LLAVA = "LLaVA, ScienceQA"
_LLAVA_1_5 = "LLaVA-1.5"
_DECODER = ("projector/.*", "language/layers.*", "language/norm/.*")


def get_plan() -> list[Grid]:
    stage_1 = Factor(
        "stage 1",
        {
            "with": {},
            "only its warm start": {
                "stages": ("instruct",),
                "stage.instruct.warm_start": "{workdir}/data/train",
            },
            # An unfitted projector learns nothing at the rate that keeps a fit.
            "without": {
                "stages": ("instruct",),
                "stage.instruct.optimizer.rates": (("projector/.*", 2e-4),),
            },
        },
        better="with",
        source=_LLAVA,
    )
    layer = Factor(
        "feature layer",
        {"last": {}, "before-last": {"model.feature_layers": (-2,)}},
        better="before-last",
        source=_LLAVA,
    )
    projector = Factor(
        "projector",
        {"mlp": {}, "linear": {"model.projector": "linear"}},
        better="mlp",
        source=_LLAVA_1_5,
    )
    data = Factor(
        "scenes to train on",
        {
            "500": {"scenes.train": 500},
            "1,500": {"scenes.train": 1500},
            "the recipe's": {},
        },
    )
    tower = Factor(
        "vision tower",
        {
            "frozen": {},
            "trained": {
                "stage.instruct.trainable": (*_DECODER, "vision/.*"),
                "stage.instruct.cache_features": False,
                "stage.instruct.optimizer.rates": (("projector/.*", 5e-6), ("vision/.*", 2e-6)),
            },
        },
    )
    answer = Factor(
        "answer",
        {"first": {}, "after its reasoning": {"scenes.reasoning": "before"}},
        better="after its reasoning",
        source=_LLAVA,
    )
    return [[stage_1], [layer], [data], [tower], [answer], [projector]]
