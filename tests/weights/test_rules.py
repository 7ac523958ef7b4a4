"""Forms can be undone, and what does not fit a table is named."""

import re

import numpy as np
import pytest

from llava_jax.errors import UserError
from llava_jax.weights import rules
from llava_jax.weights.rules import Rule, Table, as_ours, check, read
from llava_jax.weights.stored import StoredTensor


def stored(array: np.ndarray) -> StoredTensor:
    return StoredTensor(array.shape, array.dtype, lambda: array)


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (rules.AS_IS, (5,)),
        (rules.TRANSPOSED, (3, 5)),
        (rules.PATCH_CONVOLUTION, (5, 3, 4, 4)),
        (rules.leading_ones(2), (1, 1, 5)),
        (rules.interleaved_heads(3), (24, 7)),
    ],
)
def test_forms_are_undone_exactly(form: rules.Form, shape: tuple[int, ...]):
    theirs = np.random.default_rng(0).normal(size=shape)
    ours = form.ours(theirs)
    np.testing.assert_array_equal(form.theirs(ours), theirs)
    assert rules.theirs_shape(form, ours.shape) == shape


def test_patch_convolution_is_a_product_over_rows_y_x_channel():
    convolution = np.random.default_rng(0).normal(size=(5, 3, 2, 2))
    patch = np.random.default_rng(1).normal(size=(2, 2, 3))
    expected = np.einsum("ocyx,yxc->o", convolution, patch)
    kernel = rules.PATCH_CONVOLUTION.ours(convolution)
    np.testing.assert_allclose(patch.reshape(-1) @ kernel, expected)


def test_interleaved_heads_bring_pairs_half_a_head_apart():
    rows = np.arange(8)[:, None]  # two heads of four channels
    columns = rules.interleaved_heads(2).ours(rows)[0]
    np.testing.assert_array_equal(columns, [0, 2, 1, 3, 4, 6, 5, 7])


TABLE = Table.of(
    [
        Rule("embed/embedding", "wte"),
        Rule("layers_{}/up/kernel", "h.{}.up", rules.TRANSPOSED),
    ],
    layers=2,
    carried=(r"h\.2\..*",),
)
SHAPES = {"embed/embedding": (4, 3), "layers_0/up/kernel": (3, 5), "layers_1/up/kernel": (3, 5)}


def source() -> dict[str, StoredTensor]:
    rng = np.random.default_rng(0)
    shapes = {"wte": (4, 3), "h.0.up": (5, 3), "h.1.up": (5, 3), "h.2.up": (5, 3)}
    return {name: stored(rng.normal(size=shape)) for name, shape in shapes.items()}


def test_a_checkpoint_that_fits_passes_with_what_it_carries():
    check(TABLE, SHAPES, source(), "here")


def test_missing_unknown_and_misshapen_tensors_are_all_named():
    tensors = source()
    del tensors["wte"]
    tensors["h.0.up"] = stored(np.zeros((3, 5)))
    tensors["h.1.up"] = stored(np.zeros(15))
    tensors["extra"] = stored(np.zeros(1))
    with pytest.raises(UserError) as error:
        check(TABLE, SHAPES, tensors, "here")
    message = str(error.value)
    assert "here" in message
    assert "missing wte" in message
    assert "unknown extra" in message
    assert "h.0.up [3, 5] instead of [5, 3]" in message
    assert "h.1.up [15] instead of [5, 3]" in message
    assert "h.2" not in message


def test_a_table_that_does_not_cover_the_model_is_an_error():
    with pytest.raises(UserError, match=r"differ in layers_1/up/kernel, norm/scale"):
        fewer = {path: shape for path, shape in SHAPES.items() if path != "layers_1/up/kernel"}
        check(TABLE, fewer | {"norm/scale": (3,)}, source(), "here")


def test_a_long_list_is_cut():
    tensors = source() | {f"extra.{i:02}": stored(np.zeros(1)) for i in range(30)}
    with pytest.raises(UserError, match=re.escape("extra.19 and 10 more")):
        check(TABLE, SHAPES, tensors, "here")


def test_reading_stacks_or_lists_layers_and_converts():
    tensors = source()
    flat = dict(read(as_ours(TABLE, tensors), scan_layers=False))
    stacked = dict(read(as_ours(TABLE, tensors), scan_layers=True, dtype=np.float32))
    np.testing.assert_array_equal(flat["layers_1/up/kernel"], tensors["h.1.up"].read().T)
    assert flat["layers_1/up/kernel"].dtype == np.float64
    assert stacked["layers/up/kernel"].shape == (2, 3, 5)
    assert stacked["layers/up/kernel"].dtype == np.float32
    np.testing.assert_array_equal(
        stacked["layers/up/kernel"][1], flat["layers_1/up/kernel"].astype(np.float32)
    )


def test_tensors_are_read_only_when_asked_for():
    asked = []

    def reader(name: str, array: np.ndarray) -> StoredTensor:
        return StoredTensor(array.shape, array.dtype, lambda: asked.append(name) or array)

    tensors = {name: reader(name, tensor.read()) for name, tensor in source().items()}
    check(TABLE, SHAPES, tensors, "here")
    assert asked == []
    leaves = read(as_ours(TABLE, tensors), scan_layers=False)
    next(leaves)
    assert asked == ["wte"]
    list(leaves)
    assert asked == ["wte", "h.0.up", "h.1.up"]
