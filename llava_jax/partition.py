"""A parameter's path is its name everywhere; a regex on it says what happens to the parameter.

Parameters are nested dicts. A path is their keys joined with "/", as in
"language/layers_3/attention/query/kernel", and a pattern must match the whole of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from flax import traverse_util

from llava_jax.errors import UserError

Params = Mapping[str, Any]
Value = TypeVar("Value")
_SHOWN = 8


def flatten(params: Params) -> dict[str, Any]:
    """Nested dict -> {path: leaf}."""
    return traverse_util.flatten_dict(params, sep="/")


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """{path: leaf} -> nested dict."""
    return traverse_util.unflatten_dict(dict(leaves), sep="/")


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether any of the patterns matches the whole path."""
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def lookup(table: Sequence[tuple[str, Value]], paths: Iterable[str]) -> dict[str, Value]:
    """{path: value of the first pattern in the table that matches it}.

    Raises:
      UserError: some path is matched by no pattern; it names them.
    """
    found, missed = {}, []
    for path in paths:
        for pattern, value in table:
            if re.fullmatch(pattern, path):
                found[path] = value
                break
        else:
            missed.append(path)
    if missed:
        raise UserError(f"no pattern covers {_some(missed)}; add one for them to the table")
    return found


def refuse_idle(patterns: Iterable[str], paths: Iterable[str]) -> None:
    """Raises UserError where a pattern matches no path: it is not what its writer meant."""
    paths, patterns = list(paths), list(patterns)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{pattern!r} is no regular expression: {error}") from None
    idle = [p for p in patterns if not any(re.fullmatch(p, path) for path in paths)]
    if idle:
        tops = sorted({path.split("/")[0] for path in paths})
        raise UserError(f"no parameter matches {_some(idle)}; parameters begin with {tops}")


def split(params: Params, trainable: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(trainable, frozen): two nested dicts that together hold every leaf once.

    Raises:
      UserError: a pattern matches nothing.
    """
    leaves = flatten(params)
    refuse_idle(trainable, leaves)
    chosen = {path: leaf for path, leaf in leaves.items() if matches(trainable, path)}
    rest = {path: leaf for path, leaf in leaves.items() if path not in chosen}
    return unflatten(chosen), unflatten(rest)


def merge(trainable: Params, frozen: Params) -> dict[str, Any]:
    """The whole tree again: the inverse of `split`."""
    return unflatten(flatten(trainable) | flatten(frozen))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
