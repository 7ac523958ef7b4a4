"""LLaVA 13B of the first paper: as the 7B in everything but the decoder (arXiv 2304.08485)."""

from configs import llava_v1_7b


def get_config():
    config = llava_v1_7b.get_config()
    config.name = "llava_v1_13b"
    config.model.language = "vicuna_13b_v1"
    config.weights.language = "lmsys/vicuna-13b-v1.3"
    return config
