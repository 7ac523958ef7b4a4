"""The tower against CLIP, SigLIP and DINOv2 of transformers, with random weights, in float32."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.vision import VisionConfig, VisionTower, bicubic_matrix
from llava_jax.weights.dialects import vision_table
from llava_jax.weights.hf_configs import vision_config
from tests.models.from_torch import parameters, randomized

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
    "layer_norm_eps": 0.02,  # large enough to show in every norm
}
TOLERANCE = 3e-5


def pixels(size: int) -> np.ndarray:
    """Two normalised images [2,size,size,3]."""
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)


def features(config: VisionConfig, model, images: np.ndarray, *, scan: bool = False) -> np.ndarray:
    """What our tower makes of the images with the torch model's weights."""
    prefix = "" if config.layer_scale else "vision_model."
    table = vision_table(config).under("", prefix)
    params = parameters(model.state_dict(), table, scan)
    tower = VisionTower(config, Compute(scan_layers=scan))
    return np.asarray(jax.jit(tower.apply)({"params": params}, images))


def reference(model, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Hidden states, and the last one after the final norm."""
    with torch.no_grad():
        out = model(torch.tensor(images.transpose(0, 3, 1, 2)), output_hidden_states=True)
    return [state.numpy() for state in out.hidden_states], out.last_hidden_state.numpy()


@pytest.fixture(scope="module")
def clip() -> CLIPVisionModel:
    return randomized(CLIPVisionModel(CLIPVisionConfig(**SMALL)))


@pytest.mark.parametrize(
    ("layers", "select", "scan"),
    [
        ((-2,), "patch", False),
        ((-2,), "patch", True),
        ((-1,), "full", False),
        ((-1, -2), "patch", True),
        ((1, -1, 0), "full", False),
    ],
)
def test_clip_features_of_any_layers(clip, layers: tuple[int, ...], select: str, scan: bool):
    config = dataclasses.replace(
        vision_config(clip.config.to_dict(), {}), feature_layers=layers, feature_select=select
    )
    images = pixels(28)
    states, _ = reference(clip, images)
    expected = np.concatenate([states[i] for i in layers], axis=-1)
    expected = expected if select == "full" else expected[:, 1:]
    ours = features(config, clip, images, scan=scan)
    assert ours.shape[1:] == (config.features, config.feature_width)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("layers", [(-2,), (-1,)])
def test_siglip_features(layers: tuple[int, ...]):
    """30 pixels hold four patches of 7 a side; the two pixels left over are not looked at."""
    model = randomized(SiglipVisionModel(SiglipVisionConfig(**SMALL | {"image_size": 30})))
    config = dataclasses.replace(vision_config(model.config.to_dict(), {}), feature_layers=layers)
    images = pixels(30)
    states, _ = reference(model, images)
    ours = features(config, model, images)
    np.testing.assert_allclose(ours, states[layers[0]], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("size", [28, 21, 49])
def test_dinov2_with_stored_interpolated_and_stretched_positions(size: int):
    model = randomized(Dinov2Model(Dinov2Config(**SMALL | {"mlp_ratio": 2})))
    config = dataclasses.replace(vision_config(model.config.to_dict(), {}), image_size=size)
    assert config.post_norm and config.positions == 4
    images = pixels(size)
    _, normed = reference(model, images)
    ours = features(config, model, images)
    np.testing.assert_allclose(ours, normed[:, 1:], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("size_in", "size_out"), [(37, 8), (4, 7), (5, 5)])
def test_bicubic_matrix_is_torchs(size_in: int, size_out: int):
    table = np.random.default_rng(1).normal(size=(size_in, size_in)).astype(np.float32)
    matrix = bicubic_matrix(size_in, size_out)
    expected = torch.nn.functional.interpolate(
        torch.tensor(table)[None, None], size=(size_out, size_out), mode="bicubic"
    )[0, 0].numpy()
    np.testing.assert_allclose(matrix @ table @ matrix.T, expected, atol=1e-5)


def test_bytes_are_normalised_as_by_clips_processor():
    image = np.random.default_rng(2).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(do_resize=False, do_center_crop=False)
    expected = processor(image, return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    tower = VisionTower(VisionConfig(32, 80, 2, 4, image_size=28, patch_size=7), Compute())
    ours = tower.normalize(jnp.asarray(image[None]))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_array_equal(tower.normalize(ours), ours)


@pytest.mark.parametrize("scan", [False, True])
def test_blocks_after_the_selected_layer_do_not_exist(scan: bool):
    config = VisionConfig(32, 80, 6, 4, image_size=28, patch_size=7, feature_layers=(2, -3))
    assert config.blocks == 4
    tower = VisionTower(config, Compute(scan_layers=scan))
    image = jax.ShapeDtypeStruct((1, 28, 28, 3), np.float32)
    params = jax.eval_shape(tower.init, jax.random.key(0), image)["params"]
    if scan:
        assert params["blocks"]["norm1"]["scale"].shape == (4, 32)
    else:
        assert sorted(name for name in params if name.startswith("blocks")) == [
            f"blocks_{i}" for i in range(4)
        ]
    assert "post_norm" not in params


def test_the_program_of_the_selected_layer_holds_no_later_products():
    """Reading -2 of 3 blocks multiplies as often as a tower of 2 blocks, not of 3."""

    def products(depth: int, layer: int) -> int:
        config = VisionConfig(32, 80, depth, 4, 28, 7, feature_layers=(layer,))
        tower = VisionTower(config, Compute())
        image = jax.ShapeDtypeStruct((1, 28, 28, 3), np.float32)
        params = jax.eval_shape(tower.init, jax.random.key(0), image)
        return len(re.findall("dot_general", str(jax.make_jaxpr(tower.apply)(params, image))))

    assert products(3, -2) == products(2, -1) < products(3, -1)


@pytest.mark.parametrize("layers", [(), (-8,), (7,), (-1, 9)])
def test_layers_that_the_tower_lacks_are_refused(layers: tuple[int, ...]):
    with pytest.raises(UserError, match="has 6 blocks"):
        VisionConfig(32, 80, 6, 4, image_size=28, patch_size=7, feature_layers=layers)


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(UserError, match="image_size 5"):
        VisionConfig(32, 80, 6, 4, image_size=5, patch_size=7)
