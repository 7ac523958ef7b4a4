"""Tensors under another project's names: one mechanism for every dialect, in both directions.

A dialect is a table: for each of our parameters, the name it has there and the form it is stored
in. A form only moves numbers about, so the table that reads a checkpoint can also write one.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from llava_jax.errors import UserError
from llava_jax.weights.layouts import group_layers, is_layer
from llava_jax.weights.stored import Source, StoredTensor

_MAX_NAMED = 20

Placement = Callable[[str, tuple[int, ...]], jax.sharding.Sharding]
"""Where a leaf goes, by its path and shape."""


@dataclass(frozen=True)
class Form:
    """How a parameter is laid out elsewhere: ours(stored) is our array, theirs(ours) the stored."""

    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]


AS_IS = Form(lambda x: x, lambda x: x)

TRANSPOSED = Form(lambda x: x.transpose(1, 0), lambda x: x.transpose(1, 0))
"""Dense kernels: torch holds [out, in]."""


def _patch_rows(x: Any) -> Any:
    width, channels, height, breadth = x.shape
    return x.transpose(2, 3, 1, 0).reshape(height * breadth * channels, width)


def _patch_convolution(x: Any) -> Any:
    rows, width = x.shape
    side = math.isqrt(rows // 3)
    return x.reshape(side, side, 3, width).transpose(3, 2, 0, 1)


PATCH_CONVOLUTION = Form(_patch_rows, _patch_convolution)
"""The patch embedding: a convolution [out, 3, y, x] there, a dense kernel over (y, x, 3) here."""


def leading_ones(count: int) -> Form:
    """Stored with `count` leading axes of length 1."""
    return Form(lambda x: x.reshape(x.shape[count:]), lambda x: x.reshape((1,) * count + x.shape))


def interleaved_heads(heads: int) -> Form:
    """Dense kernels [out, in] of queries or keys whose rotary pairs are neighbours (2i, 2i+1).

    Ours, like Hugging Face's, pair channel i of a head with channel i + head_dim / 2.
    """

    def ours(x: Any) -> Any:
        pairs = x.reshape(heads, x.shape[0] // heads // 2, 2, x.shape[1])
        return pairs.swapaxes(1, 2).reshape(x.shape).transpose(1, 0)

    def theirs(x: Any) -> Any:
        x = x.transpose(1, 0)
        halves = x.reshape(heads, 2, x.shape[0] // heads // 2, x.shape[1])
        return halves.swapaxes(1, 2).reshape(x.shape)

    return Form(ours, theirs)


@dataclass(frozen=True)
class Rule:
    """One parameter; "{}" in both names stands for the layer."""

    ours: str
    theirs: str
    form: Form = AS_IS


def dense(ours: str, theirs: str, bias: bool = True) -> tuple[Rule, ...]:
    """The rules of a torch.nn.Linear."""
    kernel = Rule(f"{ours}/kernel", f"{theirs}.weight", TRANSPOSED)
    return (kernel, Rule(f"{ours}/bias", f"{theirs}.bias")) if bias else (kernel,)


def layer_norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    """The rules of a torch.nn.LayerNorm."""
    return Rule(f"{ours}/scale", f"{theirs}.weight"), Rule(f"{ours}/bias", f"{theirs}.bias")


@dataclass(frozen=True)
class Table:
    """names: our path (unrolled layout) -> their name and form.

    carried: regular expressions of tensors that belong to the checkpoint but have no place in our
    model (blocks after the selected layer, buffers). Anything else unnamed is an error.
    """

    names: dict[str, tuple[str, Form]] = field(default_factory=dict)
    carried: tuple[str, ...] = ()

    @staticmethod
    def of(rules: Iterable[Rule], layers: int, carried: tuple[str, ...] = ()) -> "Table":
        """Writes the rules out for every layer."""
        names = {}
        for rule in rules:
            for i in range(layers if "{}" in rule.ours else 1):
                names[rule.ours.format(i)] = (rule.theirs.format(i), rule.form)
        return Table(names, carried)

    def under(self, ours: str, theirs: str) -> "Table":
        """The same table with a prefix before our paths and one before their names."""
        names = {ours + path: (theirs + name, form) for path, (name, form) in self.names.items()}
        return Table(names, tuple(re.escape(theirs) + pattern for pattern in self.carried))

    def __or__(self, other: "Table") -> "Table":
        return Table(self.names | other.names, self.carried + other.carried)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _shape_as_ours(form: Form, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a stored tensor has in our form, None where it cannot be brought into it."""
    try:
        return jax.eval_shape(form.ours, jax.ShapeDtypeStruct(shape, np.float32)).shape
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None


def check(table: Table, shapes: Mapping[str, tuple[int, ...]], source: Source, where: str) -> None:
    """Compares names and shapes, both ways, before anything is read.

    Args:
      shapes: of every parameter of the model, unrolled layout.
      where: the file or folder, for the message.
    Raises:
      UserError naming every tensor that is missing, unknown or misshapen, and every parameter
      that the dialect has no name for.
    """
    problems = []
    uncovered = sorted(set(shapes) ^ set(table.names))
    if uncovered:
        problems.append(f"the dialect and the model differ in {_listed(uncovered)}")
    wanted = {name for name, _ in table.names.values()}
    missing = sorted(wanted - set(source))
    if missing:
        problems.append(f"missing {_listed(missing)}")
    carried = re.compile("|".join(table.carried)) if table.carried else None
    unknown = sorted(
        name for name in source if name not in wanted and not (carried and carried.fullmatch(name))
    )
    if unknown:
        problems.append(f"unknown {_listed(unknown)}")
    misshapen = []
    for path, (name, form) in table.names.items():
        if path in shapes and name in source:
            found = _shape_as_ours(form, source[name].shape)
            if found != shapes[path]:
                stored = theirs_shape(form, shapes[path])
                misshapen.append(f"{name} {list(source[name].shape)} instead of {list(stored)}")
    if misshapen:
        problems.append(f"misshapen {_listed(misshapen)}")
    if problems:
        raise UserError(
            f"{where} does not hold the tensors that its configuration asks for: "
            + "; ".join(problems)
        )


def theirs_shape(form: Form, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a parameter of ours is stored."""
    return jax.eval_shape(form.theirs, jax.ShapeDtypeStruct(shape, np.float32)).shape


def as_ours(table: Table, source: Source) -> dict[str, StoredTensor]:
    """The stored tensors under our paths and in our forms, those that the table names.

    Shapes must have been checked. Nothing is read yet.
    """

    def ours(tensor: StoredTensor, form: Form) -> StoredTensor:
        shape = _shape_as_ours(form, tensor.shape)
        assert shape is not None, f"unchecked shape {tensor.shape}"
        return StoredTensor(shape, tensor.dtype, lambda: form.ours(tensor.read()))

    return {path: ours(source[name], form) for path, (name, form) in table.names.items()}


def as_theirs(table: Table, tensors: Source) -> dict[str, StoredTensor]:
    """Our tensors under the names and in the forms of a dialect: the inverse of `as_ours`."""

    def theirs(tensor: StoredTensor, form: Form) -> StoredTensor:
        shape = theirs_shape(form, tensor.shape)
        return StoredTensor(shape, tensor.dtype, lambda: form.theirs(tensor.read()))

    return {name: theirs(tensors[path], form) for path, (name, form) in table.names.items()}


def read(
    tensors: Source, *, scan_layers: bool, dtype: Any = None, placement: Placement | None = None
) -> Iterator[tuple[str, Any]]:
    """Paths and leaves one at a time, each read when it is asked for.

    Args:
      tensors: by our paths, in the unrolled layout.
      scan_layers: whether the layers' leaves come stacked.
      dtype: what to convert to; None leaves numbers as they are stored.
      placement: where each leaf goes: it comes as a jax array of which every device has read its
        own shard. None: numpy arrays.
    """

    def shard(path: str, index: tuple[slice, ...]) -> np.ndarray:
        return np.ascontiguousarray(tensors[path].read()[index], dtype)

    groups = group_layers(tensors) if scan_layers else {path: [path] for path in tensors}
    for path, members in groups.items():
        stacked = scan_layers and is_layer(members[0])
        shape = tensors[members[0]].shape
        shape = (len(members), *shape) if stacked else shape

        def part(
            index: tuple[slice, ...], members: list[str] = members, stacked: bool = stacked
        ) -> np.ndarray:
            if stacked:
                return np.stack([shard(member, index[1:]) for member in members[index[0]]])
            return shard(members[0], index)

        if placement is None:
            yield path, part((slice(None),) * len(shape))
        else:
            yield path, jax.make_array_from_callback(shape, placement(path, shape), part)
