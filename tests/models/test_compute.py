"""How the networks compute must not change what they compute."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.models import compute
from llava_jax.models.compute import Compute, local_compute
from llava_jax.models.llava import Llava, LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.sizes import LANGUAGE
from llava_jax.models.vision import VisionConfig
from llava_jax.partition import flatten
from llava_jax.weights.layouts import stack_layers, unstack_layers
from tests.models.batches import IMAGE, make_batch, mean_loss

CONFIG = LlavaConfig(
    VisionConfig(32, 64, 3, 2, image_size=28, patch_size=14),
    ProjectorConfig(),
    LANGUAGE["tiny_llama"],
)
ROWS = [[1, 7, IMAGE, 30, 12, 9], [1, 60, 61, 62, 63, 64, 65, 66]]
BATCH = make_batch(ROWS, CONFIG.image_tokens, np.full((1, 28, 28, 3), 200, np.uint8))
Params = dict[str, Any]


@pytest.fixture(scope="module")
def params() -> Params:
    """Larger than the usual start, so that attention is far from uniform."""
    model, random = Llava(CONFIG, Compute()), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), BATCH)["params"]

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        x = random.normal(size=shape).astype(np.float32)
        return x * shape[0] ** -0.5 if len(shape) > 1 else 1 + 0.3 * x

    return jax.tree.map(lambda leaf: draw(leaf.shape), shapes)


def loss(how: Compute, params: Params) -> jax.Array:
    return mean_loss(Llava(CONFIG, how).apply({"params": params}, BATCH), BATCH)


def gradients(how: Compute, params: Params) -> tuple[float, dict[str, np.ndarray]]:
    """The loss, and {unrolled path: gradient}."""
    if how.scan_layers:
        params = stack_layers(params)
    value, tree = jax.jit(jax.value_and_grad(partial(loss, how)))(params)
    tree = jax.tree.map(np.asarray, tree)
    return float(value), flatten(unstack_layers(tree) if how.scan_layers else tree)


@pytest.fixture(scope="module")
def expected(params: Params) -> tuple[float, dict[str, np.ndarray]]:
    return gradients(Compute(), params)


@pytest.mark.parametrize(
    "how",
    [
        Compute(scan_layers=True, remat="minimal"),
        Compute(scan_layers=True, remat="offload"),
        Compute(remat="full"),
    ],
    ids=["scan-minimal", "scan-offload", "unrolled-full"],
)
def test_loss_and_gradients_are_the_same(how: Compute, params: Params, expected):
    """However layers are looped over, whatever is kept for the backward pass."""
    value, ours = gradients(how, params)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    assert ours.keys() == expected[1].keys()
    for path, gradient in expected[1].items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(
            ours[path], gradient, atol=1e-5 * scale + 1e-7, rtol=0, err_msg=path
        )


@pytest.mark.parametrize("scan", [False, True], ids=["unrolled", "scan"])
def test_rematerialisation_multiplies_again_what_it_does_not_keep(scan: bool, params: Params):
    params = stack_layers(params) if scan else params

    def products(remat) -> int:
        """Products in the program of the gradient."""
        how = Compute(scan_layers=scan, remat=remat)
        program = jax.make_jaxpr(jax.grad(partial(loss, how)))(params)
        return len(re.findall("dot_general", str(program)))

    counts = [products(remat) for remat in ("none", "minimal", "attention", "context", "full")]
    assert counts == sorted(set(counts))
    assert products("offload") == products("attention")
    assert products("minimal") < products("inputs") < products("full")


def test_bfloat16_on_a_cpu_follows_float32(params: Params, expected):
    """With the gradients of all products in the CPU's own forms."""
    value, ours = gradients(Compute(dtype=jnp.bfloat16), params)
    np.testing.assert_allclose(value, expected[0], rtol=1e-2)
    # A bias of keys shifts all scores of a query alike: its gradient is nothing but rounding.
    compared = [path for path in expected[1] if not path.endswith("attention/key/bias")]
    for path in compared:
        a, b = ours[path].ravel(), expected[1][path].ravel()
        assert a.dtype == np.float32
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        assert cosine > 0.998, f"{path}: {cosine}"


@pytest.mark.parametrize(("fast", "dtype"), [(True, jnp.bfloat16), (False, jnp.float32)])
def test_auto_is_bfloat16_where_the_hardware_has_it(
    fast: bool, dtype, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compute, "_cpu_multiplies_bfloat16", lambda: fast)
    assert local_compute("auto") == Compute(dtype)
    assert local_compute("float32", "full") == Compute(jnp.float32, remat="full")
    assert local_compute("bfloat16") == Compute(jnp.bfloat16)


def test_what_a_platform_multiplies_in():
    assert Compute().precision == jax.lax.Precision.HIGHEST
    assert Compute(dtype=jnp.bfloat16).precision is None
    assert Compute(dtype=jnp.bfloat16).cpu_bfloat16
    assert not Compute(dtype=jnp.bfloat16, platform="tpu").cpu_bfloat16
    assert not Compute().cpu_bfloat16
