"""Where parameters lie: every path of every model has a place, and big ones are cut."""

import math

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from llava_jax import partition
from llava_jax.config import MeshShape, Model
from llava_jax.errors import UserError
from llava_jax.mesh import local_mesh, make_mesh
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, abstract_params
from llava_jax.models.sizes import llava_config
from llava_jax.sharding import TABLE, own_rows, parameter_specs, place, place_batch
from tests.test_mesh import torus

FSDP = ("fsdp_x", "fsdp_y")
MODELS = {
    "7b": Model(),
    "13b": Model(language="vicuna_13b"),
    "v1": Model(vision="clip_vit_l14", projector="linear"),
    "pocket": Model(vision="dinov2_vit_s14", language="smollm2_135m", merge=2, image_size=112),
    "tiny": Model(vision="tiny_clip", language="tiny_llama"),
}


def shapes_of(name: str, scan_layers: bool = True):
    return abstract_params(Llava(llava_config(MODELS[name]), Compute(scan_layers=scan_layers)))


def share(spec: PartitionSpec, mesh) -> float:
    """What part of a leaf a device holds."""
    entries = [(entry,) if isinstance(entry, str) else entry or () for entry in spec]
    return 1 / math.prod(mesh.shape[axis] for axes in entries for axis in axes)


@pytest.mark.parametrize("scan_layers", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_every_path_has_a_place_and_nothing_big_is_whole(name, scan_layers):
    mesh = make_mesh(MeshShape(), torus(2, 2, 1))
    shapes = shapes_of(name, scan_layers)
    specs = parameter_specs(shapes, mesh)
    leaves = partition.flatten(shapes)
    assert specs.keys() == leaves.keys()
    held = sum(leaf.size * share(specs[path], mesh) for path, leaf in leaves.items())
    assert held < 1.05 * sum(leaf.size for leaf in leaves.values()) / 4 or name == "tiny"


def test_the_first_free_side_is_cut_and_tensor_takes_its_own():
    mesh = make_mesh(MeshShape(tensor=2), torus(8, 8, 1))
    specs = parameter_specs(shapes_of("7b"), mesh)
    layers = "language/layers"
    assert specs[f"{layers}/attention/query/kernel"] == PartitionSpec(None, FSDP, "tensor")
    assert specs[f"{layers}/attention/out/kernel"] == PartitionSpec(None, "tensor", FSDP)
    assert specs[f"{layers}/mlp/down/kernel"] == PartitionSpec(None, "tensor", FSDP)
    assert specs["language/embed/embedding"] == PartitionSpec("tensor", FSDP)
    assert specs["language/lm_head/kernel"] == PartitionSpec(FSDP, "tensor")
    assert specs["projector/dense_0/kernel"] == PartitionSpec(FSDP, None)
    assert specs["vision/blocks/mlp/up/bias"] == PartitionSpec(None, "tensor")
    assert specs["language/norm/scale"] == PartitionSpec(None)
    # Without a tensor axis a shard of `down` is a run of its rows.
    alone = parameter_specs(shapes_of("7b"), make_mesh(MeshShape(), torus(8, 8, 1)))
    assert alone[f"{layers}/mlp/down/kernel"] == PartitionSpec(None, FSDP, None)


@pytest.mark.parametrize(
    ("name", "sides", "cut"),
    [
        ("7b", (8, 8, 1), (("fsdp_x",), ("fsdp_y",))),  # 4096 / 64 would be half a lane
        ("7b", (2, 4, 4), (None, ("fsdp_x", "fsdp_y", "fsdp_z"))),
        ("7b", (16, 16, 1), (("fsdp_x",), ("fsdp_y",))),
        ("tiny", (2, 2, 1), (FSDP, None)),  # 64 wide: words are few columns, the whole is small
    ],
)
def test_the_table_of_words_is_cut_to_whole_lanes(name, sides, cut):
    specs = parameter_specs(shapes_of(name), make_mesh(MeshShape(), torus(*sides)))
    assert specs[TABLE] == PartitionSpec(*cut)


@pytest.mark.parametrize(
    ("shape", "sides", "message"),
    [
        (MeshShape(fsdp=1, tensor=12), (12, 1, 1), "tensor=12 does not divide .* of "),
        (MeshShape(), (7, 11, 1), "fsdp=77 divides no side of "),
    ],
)
def test_sides_that_do_not_divide(shape, sides, message):
    with pytest.raises(UserError, match=message):
        parameter_specs(shapes_of("7b"), make_mesh(shape, torus(*sides)))


def test_a_new_parameter_needs_a_place():
    tree = {"language": {"new": {"table": jax.ShapeDtypeStruct((4, 4), np.float32)}}}
    with pytest.raises(UserError, match="no pattern covers language/new/table"):
        parameter_specs(tree, local_mesh())


def test_batches_and_parameters_are_placed_as_they_are():
    mesh = local_mesh()
    assert own_rows(4, mesh) == [0, 1, 2, 3]
    batch = {"tokens": np.arange(12).reshape(4, 3)}
    placed = place_batch(batch, 4, mesh)
    np.testing.assert_array_equal(placed["tokens"], batch["tokens"])
    like = {
        "a": {
            "kernel": jax.ShapeDtypeStruct((2, 2), np.float16, sharding=placed["tokens"].sharding)
        }
    }
    kernel = np.arange(4.0).reshape(2, 2)
    for leaf in (kernel, jax.numpy.asarray(kernel)):
        found = place({"a": {"kernel": leaf}}, like)["a"]["kernel"]
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, kernel)
