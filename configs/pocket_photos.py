"""Stage 1 of the pocket LLaVA on real photographs: image-caption pairs in LLaVA's JSON.

python launch/train.py --config=configs/pocket_photos.py --workdir=DIR \\
  --config.stage.align.data.photos.path=chat.json --config.stage.align.data.photos.images=images

Feature alignment as LLaVA does it, from a random projector and without warm start. 200 steps see
some 4,800 pairs: enough to write captions, not yet to see much (README says how much).
"""

from configs import pocket
from llava_jax.config import new_source


def get_config():
    config = pocket.get_config()
    config.name = "pocket_photos"
    config.stages = ("align",)
    config.scenes.train = config.scenes.held_out = 0
    config.model.image_size = 224  # 16 x 16 patches, 64 image tokens

    align = config.stage.align
    align.warm_start = ""
    del align.data.captions
    align.data.photos = new_source("photos/chat.json", "photos/images")
    align.optimizer.learning_rate = 1e-3
    align.optimizer.clip = 1.0
    align.steps = 200
    align.rows = 8
    align.length = 256
    align.images = 4
    return config
