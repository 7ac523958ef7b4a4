"""Greedy generation against the tokens that the original LLaVA generated."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.inference import programs
from llava_jax.models.compute import Compute
from llava_jax.weights.huggingface import load_llava
from tests.models.batches import IMAGE, make_batch

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("name", ["llava_mlp", "llava_gqa_linear"])
def test_all_rows_at_once_get_the_tokens_that_each_got_alone(golden_dir: Path, name: str):
    folder = golden_dir / "tiny_model"
    golden = np.load(folder / name / "golden.npz")
    config, params = load_llava(folder / name, vision_folder=folder / "clip")
    model = (config, Compute(), jax.tree.map(jnp.asarray, params))
    prompts = [
        ids[mask].tolist()
        for ids, mask in zip(golden["input_ids"], golden["attention_mask"], strict=True)
    ]
    # A row of text alone brought an image too, which the original never looked at.
    kept, place = [], 0
    for prompt in prompts:
        count = prompt.count(IMAGE)
        kept += range(place, place + count)
        place += max(count, 1)
    images = golden["images"][kept].transpose(0, 2, 3, 1)
    batch = make_batch(prompts, config.image_tokens, images)
    # The first recorded id is a dummy that the original's `generate` puts there.
    expected = [golden[f"generate/{row}/ids"][1:].tolist() for row in range(len(prompts))]
    ours = programs.greedy(*model, batch, len(expected[0]))
    assert ours.tolist() == expected
