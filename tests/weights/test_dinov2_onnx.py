"""The pocket tower against onnxruntime on its own file and against transformers' DINOv2."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from transformers import Dinov2Config, Dinov2Model

from llava_jax.errors import UserError
from llava_jax.models import sizes
from llava_jax.models.compute import Compute
from llava_jax.models.vision import VisionTower
from llava_jax.weights import dinov2_onnx
from llava_jax.weights.layouts import stack_layers

NORMED = "/backbone/layernorm/Add_1_output_0"  # class token and patches, after the final norm


def pixels(size: int) -> np.ndarray:
    """One normalised image [1,size,size,3]."""
    return np.random.default_rng(size).normal(size=(1, size, size, 3)).astype(np.float32)


def ours(path: Path, size: int) -> np.ndarray:
    config = replace(dinov2_onnx.read_config(path), image_size=size)
    config, params = dinov2_onnx.load(path, config=config)
    apply = jax.jit(VisionTower(config, Compute()).apply)
    return np.asarray(apply({"params": params}, pixels(size)))


@pytest.fixture(scope="module")
def graph(pocket_tower: Path) -> onnx.ModelProto:
    """The file's graph with the backbone's output shown and images of any size."""
    model = onnx.load(pocket_tower)
    shown = helper.make_tensor_value_info(NORMED, onnx.TensorProto.FLOAT, None)
    model.graph.output.append(shown)
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_param = "side"
    return model


@pytest.mark.parametrize("size", [224, 112])  # what it was exported for, and the recipe's
def test_features_are_those_of_onnxruntime(graph: onnx.ModelProto, pocket_tower: Path, size: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    image = pixels(size).transpose(0, 3, 1, 2)
    (theirs,) = session.run([NORMED], {"input_image": image})
    np.testing.assert_allclose(ours(pocket_tower, size), theirs[:, 1:], atol=1e-3)


def test_interpolated_positions_are_those_of_transformers(pocket_tower: Path):
    with torch.device("meta"):
        model = Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518))
    tensors = {
        name: torch.tensor(tensor.read())
        for name, tensor in dinov2_onnx.open_graph(pocket_tower).items()
    }
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    assert (missing, unexpected) == (["embeddings.mask_token"], [])
    with torch.no_grad():
        theirs = model.eval()(torch.tensor(pixels(112).transpose(0, 3, 1, 2)))
    theirs = theirs.last_hidden_state[:, 1:].numpy()
    np.testing.assert_allclose(ours(pocket_tower, 112), theirs, atol=1e-3)


def test_the_file_is_the_size_the_recipe_names(pocket_tower: Path):
    config = sizes.VISION["dinov2_vit_s14"]
    stored = dinov2_onnx.read_config(pocket_tower)
    chosen = {"image_size": config.image_size, "feature_layers": config.feature_layers}
    assert replace(stored, **chosen) == config


def test_layers_stacked(pocket_tower: Path):
    _, unrolled = dinov2_onnx.load(pocket_tower)
    _, stacked = dinov2_onnx.load(pocket_tower, scan_layers=True)
    jax.tree.map(np.testing.assert_array_equal, stack_layers(unrolled), stacked)


def spoilt(model: onnx.ModelProto, path: Path, edit) -> Path:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    edit(copy.graph)
    onnx.save(copy, path)
    return path


def remove(graph: onnx.GraphProto, name: str) -> None:
    (index,) = [i for i, tensor in enumerate(graph.initializer) if tensor.name == name]
    del graph.initializer[index]


def test_a_missing_tensor_is_named(graph: onnx.ModelProto, tmp_path: Path):
    name = "encoder.layer.3.norm1.weight"
    path = spoilt(graph, tmp_path / "x.onnx", lambda g: remove(g, f"backbone.{name}"))
    with pytest.raises(UserError, match=rf"x\.onnx does not hold.*missing {name}"):
        dinov2_onnx.load(path)


def test_a_kernel_without_its_bias_has_no_name(graph: onnx.ModelProto, tmp_path: Path):
    bias = "backbone.encoder.layer.3.mlp.fc1.bias"
    path = spoilt(graph, tmp_path / "x.onnx", lambda g: remove(g, bias))
    with pytest.raises(UserError, match=r"no bias follows /backbone/encoder/layer\.3/mlp/fc1"):
        dinov2_onnx.load(path)


def test_another_network_is_refused(tmp_path: Path):
    tensor = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = helper.make_node("Relu", ["x"], ["y"])
    empty = helper.make_graph([node], "g", [tensor], [helper.make_empty_tensor_value_info("y")])
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(empty), path)
    with pytest.raises(UserError, match="no export of a DINOv2"):
        dinov2_onnx.load(path)


def test_damaged_and_missing_files_are_named(graph: onnx.ModelProto, tmp_path: Path):
    path = spoilt(graph, tmp_path / "x.onnx", lambda g: None)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"x\.onnx is truncated or damaged"):
        dinov2_onnx.load(path)
    with pytest.raises(UserError, match=r"y\.onnx is missing"):
        dinov2_onnx.load(tmp_path / "y.onnx")
