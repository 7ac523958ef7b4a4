"""LLaVA 7B of the first paper: "Visual Instruction Tuning" (arXiv 2304.08485), code release v1.0.

Figures: section 5 and appendix C of the paper, and scripts/{pretrain,finetune}.sh at v1.0 of
github.com/haotian-liu/LLaVA. The paper trained Vicuna v0 with the "###" template (`llava_v0`),
whose weights exist only as deltas; the first release of the code on v1.3 uses `vicuna_v1`.
"""

from llava_jax.config import new_recipe, new_source


def get_config():
    config = new_recipe("align", "instruct")
    config.name = "llava_v1_7b"

    # CLIP ViT-L/14 at 224 px, the layer before the last, without the class token: 256 tokens
    config.model.vision = "clip_vit_l14"
    config.model.feature_layers = (-2,)
    config.model.feature_select = "patch"
    config.model.projector = "linear"
    config.model.language = "vicuna_7b_v1"
    config.weights.vision = "openai/clip-vit-large-patch14"
    config.weights.language = "lmsys/vicuna-7b-v1.3"
    config.dtype = "bfloat16"
    config.remat = "full"

    align = config.stage.align  # stage 1: feature alignment
    align.trainable = ("projector/.*",)
    align.data.cc = new_source(  # CC-595K
        "data/LLaVA-CC3M-Pretrain-595K/chat.json",
        "data/LLaVA-CC3M-Pretrain-595K/images",
        records=595_375,
    )
    align.template = "plain"
    align.image_mode = "crop"
    align.optimizer.learning_rate = 2e-3
    align.optimizer.warmup = 0.03
    align.epochs = 1.0
    align.rows = 128
    align.length = 2048
    align.normalize = "per_device"

    instruct = config.stage.instruct  # stage 2: visual instruction tuning
    instruct.trainable = ("projector/.*", "language/.*")
    instruct.data.instruct = new_source(  # LLaVA-Instruct-158K on COCO train2014
        "data/LLaVA-Instruct-150K/llava_instruct_158k.json", "data/coco/train2014", records=157_712
    )
    instruct.template = "vicuna_v1"
    instruct.image_mode = "crop"
    instruct.optimizer.learning_rate = 2e-5
    instruct.optimizer.warmup = 0.03
    instruct.epochs = 3.0
    instruct.rows = 32
    instruct.length = 2048
    instruct.normalize = "per_device"
    return config
