"""LLaVA-1.5 7B: "Improved Baselines with Visual Instruction Tuning" (arXiv 2310.03744).

Figures: table 9 of the paper, and scripts/v1_5/{pretrain,finetune}.sh of
github.com/haotian-liu/LLaVA. Put the two sets where `data` says, or name other places:
--config.stage.align.data.lcs.path=...
"""

from llava_jax.config import new_recipe, new_source


def get_config():
    config = new_recipe("align", "instruct")
    config.name = "llava_v1_5_7b"

    # CLIP ViT-L/14 at 336 px, the layer before the last, without the class token: 576 tokens
    config.model.vision = "clip_vit_l14_336"
    config.model.feature_layers = (-2,)
    config.model.feature_select = "patch"
    config.model.projector = "mlp2x_gelu"
    config.model.language = "vicuna_7b"
    config.weights.vision = "openai/clip-vit-large-patch14-336"
    config.weights.language = "lmsys/vicuna-7b-v1.5"
    config.dtype = "bfloat16"
    config.remat = "full"  # gradient checkpointing in both stages

    align = config.stage.align  # stage 1: feature alignment
    align.trainable = ("projector/.*",)
    align.data.lcs = new_source(  # LCS-558K
        "data/LLaVA-Pretrain/blip_laion_cc_sbu_558k.json",
        "data/LLaVA-Pretrain/images",
        records=558_128,
    )
    align.template = "plain"
    align.image_mode = "crop"
    align.optimizer.learning_rate = 1e-3
    align.optimizer.warmup = 0.03
    align.optimizer.weight_decay = 0.0
    align.epochs = 1.0
    align.rows = 256
    align.length = 2048
    align.normalize = "per_device"

    instruct = config.stage.instruct  # stage 2: visual instruction tuning
    instruct.trainable = ("projector/.*", "language/.*")
    instruct.data.mix = new_source(  # mix-665K
        "data/LLaVA-Tuning/llava_v1_5_mix665k.json", "data/LLaVA-Tuning/images", records=665_298
    )
    instruct.template = "vicuna_v1"
    instruct.image_mode = "pad"
    instruct.optimizer.learning_rate = 2e-5
    instruct.optimizer.warmup = 0.03
    instruct.optimizer.weight_decay = 0.0
    instruct.epochs = 1.0
    instruct.rows = 128
    instruct.length = 2048
    instruct.group = "modality_length"  # --group_by_modality_length True
    instruct.normalize = "per_device"
    return config
