"""LLaVA-1.5 13B: as the 7B in everything but the decoder (table 9 of arXiv 2310.03744)."""

from configs import llava_v1_5_7b


def get_config():
    config = llava_v1_5_7b.get_config()
    config.name = "llava_v1_5_13b"
    config.model.language = "vicuna_13b"
    config.weights.language = "lmsys/vicuna-13b-v1.5"
    return config
