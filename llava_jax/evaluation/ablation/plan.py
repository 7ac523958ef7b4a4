"""What an ablation varies, and which runs that takes."""

import ast
import json
import re
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError

Overrides = Mapping[str, Any]  # key of the recipe ("model.merge") -> value


@dataclass(frozen=True)
class Factor:
    """One thing that is varied. arms: by name, what each of them sets in the recipe.

    better: the arm that was found better elsewhere, and source: where; "" if nobody said so.
    """

    name: str
    arms: Mapping[str, Overrides]
    better: str = ""
    source: str = ""


Grid = Sequence[Factor]  # every combination of their arms


@dataclass(frozen=True)
class Point:
    """One combination. label: its arms' names. identity: equal for points of equal recipes."""

    label: str
    overrides: Overrides

    @property
    def identity(self) -> str:
        return json.dumps(dict(self.overrides), sort_keys=True)


@dataclass(frozen=True)
class Run:
    """One recipe to be trained and evaluated; `name` is its folder."""

    name: str
    overrides: Overrides


def parse_grid(text: str) -> Grid:
    """A grid as it is written on a command line: KEY=[VALUE, ...], several joined by " x ".

    Raises UserError for anything else.
    """
    factors = []
    for part in re.split(r"(?<=\])\s+x\s+(?=[\w.]+=)", text.strip()):
        key, _, written = part.partition("=")
        try:
            values = ast.literal_eval(written)
        except (ValueError, SyntaxError):
            values = None
        if not isinstance(values, list) or not values or not re.fullmatch(r"[\w.]+", key):
            raise UserError(
                f"--grid={text}: write KEY=[VALUE, VALUE], the values as in Python (text in "
                "quotes), and join several keys by ' x '"
            )
        factors.append(Factor(key, {str(value): {key: value} for value in values}))
    return factors


def read_plan(path: Path) -> Sequence[Grid]:
    """The grids that `get_plan` in a Python file gives; UserError where there is none."""
    if not path.is_file():
        raise UserError(f"no plan {path}: give a Python file with get_plan(), as configs/ablations")
    found = runpy.run_path(str(path)).get("get_plan")
    if found is None:
        raise UserError(f"{path} has no get_plan(): write one that returns a list of grids")
    return found()


def points(grid: Grid) -> list[Point]:
    """Every combination of a grid's arms."""
    return [
        Point(
            ", ".join(arm for arm, _ in arms),
            {key: value for _, sets in arms for key, value in sets.items()},
        )
        for arms in product(*(factor.arms.items() for factor in grid))
    ]


def runs(grids: Sequence[Grid]) -> dict[str, Run]:
    """What the grids want trained, by identity: equal recipes once."""
    wanted: dict[str, Run] = {}
    for grid in grids:
        factors = "_".join(factor.name for factor in grid)
        for point in points(grid):
            if point.identity not in wanted:
                name = _folder(f"{factors}={point.label}" if point.overrides else "recipe")
                taken = sum(name == run.name.partition("~")[0] for run in wanted.values())
                name += f"~{taken + 1}" if taken else ""
                wanted[point.identity] = Run(name, point.overrides)
    return wanted


def _folder(text: str) -> str:
    return re.sub(r"[^\w.=+-]+", "_", text).strip("_")[:120]
