"""STAR's folder STAR_classes: the names of its codes, and the frame rates of its videos.

object_classes.txt, relationship_classes.txt, action_classes.txt: "o010 cup/glass/bottle" a line.
action_mapping.txt: action, verb and object, "a085 v015 o010" a line. video_fps: a pickled
{"6H78U.mp4": frames per second, ...}.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError

PERSON = "o000"  # who does everything in STAR's videos
_WHAT = "the folder annotations/STAR_classes of STAR's repository"


@dataclass(frozen=True)
class Classes:
    """Names by code ("o017" -> "book"); the object of each action; frames a second by file."""

    objects: Mapping[str, str]
    relations: Mapping[str, str]
    actions: Mapping[str, str]
    acted_on: Mapping[str, str]
    rates: Mapping[str, float]


def read_classes(folder: Path) -> Classes:
    """Raises UserError where a file is missing or is not STAR's."""
    relations = _names(folder / "relationship_classes.txt")
    classes = Classes(
        objects=_names(folder / "object_classes.txt"),
        relations={code: name.replace("_", " ") for code, name in relations.items()},
        actions=_names(folder / "action_classes.txt"),
        acted_on={
            code: rest.split()[-1] for code, rest in _names(folder / "action_mapping.txt").items()
        },
        rates=_rates(folder / "video_fps"),
    )
    known = classes.objects.keys()
    if PERSON not in known or not (
        classes.actions.keys() <= classes.acted_on.keys()
        and known >= set(classes.acted_on.values())
    ):
        raise UserError(f"the files in {folder} do not belong together; give {_WHAT}")
    return classes


def _names(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); give {_WHAT}") from error
    pairs = [line.strip().partition(" ") for line in lines if line.strip()]
    if not pairs or not all(name for _, _, name in pairs):
        raise UserError(f'{path} has a line other than "code name"; give {_WHAT}')
    return {code: name for code, _, name in pairs}


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, texts and dicts of them, NumPy's numbers too: a pickle may else run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in (
            "dtype",
            "scalar",
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _rates(path: Path) -> dict[str, float]:
    try:
        with path.open("rb") as file:
            loaded = _PlainUnpickler(file).load()
        rates = {str(name): float(rate) for name, rate in loaded.items()}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); give {_WHAT}") from error
    except Exception as error:  # what broken pickles raise is not listed anywhere
        raise UserError(f"{path} is not STAR's table of frame rates ({error})") from error
    if not all(0 < rate < float("inf") for rate in rates.values()):
        raise UserError(f"{path} has a frame rate that is not above 0; give {_WHAT}")
    return rates
