"""A DINOv2 tower out of an ONNX file that transformers' Dinov2Model was exported to.

The exporter keeps the names of biases and norms, but turns dense kernels into nameless constants
of MatMul nodes. Each is found again by walking the graph: it is added to the bias it belongs to.
So the file becomes a source in Dinov2Model's own names, read by the same table.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, TensorProto, numpy_helper

from llava_jax.errors import UserError
from llava_jax.models.vision import VisionConfig
from llava_jax.partition import unflatten
from llava_jax.weights.dialects import vision_table
from llava_jax.weights.hf_configs import vision_config
from llava_jax.weights.rules import as_ours, check, read
from llava_jax.weights.shapes import vision_shapes
from llava_jax.weights.stored import StoredTensor

_BACKBONE = "backbone."
_HEAD_DIM = 64  # of every DINOv2; the graph keeps it only in reshapes


def _stored(array: np.ndarray) -> StoredTensor:
    return StoredTensor(array.shape, array.dtype, lambda: array)


def _dense_kernels(
    graph: GraphProto, constants: set[str], where: Path
) -> Iterator[tuple[str, str]]:
    """(name of a dense layer's weight, the constant [in, out] that holds it)."""
    bias_of = {}
    for node in graph.node:
        if node.op_type == "Add":
            first, second = node.input
            bias_of[first], bias_of[second] = second, first
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            bias = bias_of.get(node.output[0], "")
            if bias not in constants:
                raise UserError(
                    f"ONNX: no bias follows {node.name}, so {node.input[1]} is nameless"
                )
            yield bias.removesuffix(".bias") + ".weight", node.input[1]


def _position_constants(graph: GraphProto, constants: set[str], where: Path) -> list[str]:
    """The positions of the class token and of the patches [1, n, d], which the exporter parted.

    Both have lost their names: one is joined (Concat) to the other after its reshaping. No other
    node of these two kinds begins with a constant.
    """
    found = {
        node.op_type: node.input[0]
        for node in graph.node
        if node.op_type in ("Concat", "Reshape") and node.input[0] in constants
    }
    if set(found) != {"Concat", "Reshape"}:
        raise UserError(f"{where} is no export of a DINOv2: no position embeddings in its graph")
    return [found["Concat"], found["Reshape"]]


def open_graph(path: Path | str) -> dict[str, StoredTensor]:
    """The backbone's tensors in the names and forms of Dinov2Model; other parts are left out.

    Raises:
      UserError where the file is missing, damaged or no such export.
    """
    path = Path(path)
    try:
        graph = onnx.load(path).graph
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, DecodeError) as error:
        raise UserError(f"{path} is truncated or damaged, fetch it again ({error})") from error
    initializers: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}

    def array(name: str) -> np.ndarray:
        return numpy_helper.to_array(initializers[name])

    names = set(initializers)
    tensors = {name: array(name) for name in names if name.startswith(_BACKBONE)}
    for weight, constant in _dense_kernels(graph, names, path):
        tensors[weight] = array(constant).T
    positions = [array(name) for name in _position_constants(graph, names, path)]
    tensors[_BACKBONE + "embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return {name.removeprefix(_BACKBONE): _stored(tensor) for name, tensor in tensors.items()}


def _config(tensors: dict[str, StoredTensor], path: Path | str) -> VisionConfig:
    """All there is to know follows from the shapes."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise UserError(f"{path} is no export of a DINOv2: it lacks {name}")
        return tensors[name].shape

    width, _, patch, _ = shape("embeddings.patch_embeddings.projection.weight")
    side = math.isqrt(shape("embeddings.position_embeddings")[1])
    return vision_config(
        {
            "model_type": "dinov2",
            "hidden_size": width,
            "mlp_ratio": shape("encoder.layer.0.mlp.fc1.bias")[0] / width,
            "num_hidden_layers": sum(name.endswith(".layer_scale1.lambda1") for name in tensors),
            "num_attention_heads": width // _HEAD_DIM,
            "image_size": side * patch,
            "patch_size": patch,
        },
        {},
    )


def read_config(path: Path | str) -> VisionConfig:
    """The tower's configuration at the resolution it was trained at, its final norm applied."""
    return _config(open_graph(path), path)


def open_vision(
    path: Path | str, config: VisionConfig | None = None
) -> tuple[VisionConfig, dict[str, StoredTensor]]:
    """The tower's configuration and tensors, by our paths below `vision/`.

    Args:
      config: instead of the file's (`read_config`), for another image size or selected layer.
    Raises:
      UserError naming tensors that are missing, unknown or misshapen.
    """
    source = open_graph(path)
    config = config or _config(source, path)
    table = vision_table(config)
    check(table, vision_shapes(config), source, str(path))
    return config, as_ours(table, source)


def load(
    path: Path | str,
    *,
    config: VisionConfig | None = None,
    scan_layers: bool = False,
    dtype: Any = None,
) -> tuple[VisionConfig, dict[str, Any]]:
    """Reads what `open_vision` opens: the configuration and the parameters, numpy arrays.

    Args:
      scan_layers: whether layers come stacked on axis 0.
      dtype: what to convert to; None keeps the stored one.
    """
    config, tensors = open_vision(path, config)
    return config, unflatten(dict(read(tensors, scan_layers=scan_layers, dtype=dtype)))
