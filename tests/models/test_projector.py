"""The projector against a torch module, and the merging of patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.projector import Projector, ProjectorConfig, merge_patches, torch_linear_init
from tests.models.from_torch import randomized


@pytest.mark.parametrize(("kind", "depth"), [("linear", 1), ("mlp2x_gelu", 2), ("mlp3x_gelu", 3)])
def test_a_projector_is_linear_layers_with_exact_gelu_between(kind: str, depth: int):
    config = ProjectorConfig(kind)
    assert config.depth == depth
    linears = [torch.nn.Linear(24 if i == 0 else 40, 40) for i in range(depth)]
    modules = [m for linear in linears for m in (torch.nn.GELU(), linear)][1:]
    theirs = randomized(torch.nn.Sequential(*modules))
    x = np.random.default_rng(0).normal(size=(2, 5, 24)).astype(np.float32)
    params = {
        f"dense_{i}": {
            "kernel": jnp.asarray(linear.weight.detach().numpy().T),
            "bias": jnp.asarray(linear.bias.detach().numpy()),
        }
        for i, linear in enumerate(linears)
    }
    ours = Projector(config, 40, Compute()).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(ours, theirs(torch.tensor(x)).detach(), atol=1e-5)


def test_merging_concatenates_squares_row_by_row():
    """A 4x4 map of single numbers: the first square is rows 0-1, columns 0-1."""
    features = jnp.arange(16.0).reshape(1, 16, 1)
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    np.testing.assert_array_equal(merge_patches(features, 2)[0], expected)


def test_merging_keeps_channels_of_a_patch_together():
    features = jnp.arange(8.0).reshape(1, 4, 2)
    np.testing.assert_array_equal(merge_patches(features, 2)[0], [np.arange(8.0)])


def test_a_merging_projector_has_a_quarter_of_the_tokens():
    projector = Projector(ProjectorConfig("linear", merge=2), 40, Compute())
    x = jnp.ones((3, 16, 24))
    y, variables = projector.init_with_output(jax.random.key(0), x)
    assert y.shape == (3, 4, 40)
    assert variables["params"]["dense_0"]["kernel"].shape == (4 * 24, 40)


def test_kernel_and_bias_start_like_torchs():
    theirs = torch.nn.Linear(400, 3000)
    init = torch_linear_init(400)
    for shape, wanted in (((400, 3000), theirs.weight), ((3000,), theirs.bias)):
        ours = init(jax.random.key(0), shape)
        assert float(jnp.abs(ours).max()) <= 400**-0.5
        np.testing.assert_allclose(ours.std(), wanted.std().item(), rtol=0.05)


@pytest.mark.parametrize("kind", ["mlp", "mlp0x_gelu", "identity", "mlp2x_relu"])
def test_an_unknown_kind_is_refused(kind: str):
    with pytest.raises(UserError, match=f"unknown projector '{kind}'"):
        ProjectorConfig(kind)
