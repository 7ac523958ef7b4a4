"""A projector alone: what stage 1 of the original leaves (`mm_projector.bin`), in and out."""

import re
from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.weights.dialects import HUGGING_FACE, ORIGINAL
from llava_jax.weights.folders import open_file
from llava_jax.weights.rules import as_ours, as_theirs, check
from llava_jax.weights.stored import Source, StoredTensor
from llava_jax.weights.torch_files import write_torch

FILE_NAME = "mm_projector.bin"
# The original names its own with whatever stood around the model when it was saved.
_PREFIX = re.compile(r"^.*?(?=mm_projector|multi_modal_projector)")


def open_projector(path: Path, config: LlavaConfig) -> tuple[str, dict[str, StoredTensor]]:
    """(kind, tensors by our paths below `projector/`) of a file that holds a projector alone.

    Args:
      path: the file, or a folder with an mm_projector.bin.
      config: of the LLaVA it shall stand in, for the shapes; the kind is the file's own.
    Raises:
      UserError: it is none, or one of other shapes.
    """
    if path.is_dir():
        path = path / FILE_NAME
    stored = open_file(path)
    source = {_PREFIX.sub("", name): tensor for name, tensor in stored.items()}
    dialect, prefix = ORIGINAL, "model."
    if any(name.startswith("multi_modal_projector") for name in source):
        dialect, prefix = HUGGING_FACE, ""
    depth = sum(name.endswith(".weight") and "projector" in name for name in source)
    kind = "linear" if "mm_projector.weight" in source else f"mlp{depth}x_gelu"
    if depth == 0:
        raise UserError(f"{path} holds no projector: its tensors are {', '.join(list(stored)[:3])}")
    table = dialect.projector_table(ProjectorConfig(kind))
    source = {prefix + name: tensor for name, tensor in source.items()}
    check(table, _shapes(config, depth), source, str(path))
    return kind, as_ours(table, source)


def write_projector(tensors: Source, config: LlavaConfig, path: Path) -> None:
    """Writes the projector of a LLaVA's tensors as the original's stage 1 does."""
    own = {
        name.removeprefix("projector/"): tensor
        for name, tensor in tensors.items()
        if name.startswith("projector/")
    }
    write_torch(path, as_theirs(ORIGINAL.projector_table(config.projector), own))


def _shapes(config: LlavaConfig, depth: int) -> dict[str, tuple[int, ...]]:
    width = config.language.width
    shapes: dict[str, tuple[int, ...]] = {}
    d_in = config.vision.feature_width * config.projector.merge**2
    for i in range(depth):
        shapes |= {f"dense_{i}/kernel": (d_in, width), f"dense_{i}/bias": (width,)}
        d_in = width
    return shapes
