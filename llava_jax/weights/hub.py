"""Checkpoint folders: on this machine, beside another one, or on the Hugging Face hub."""

from pathlib import Path

from llava_jax.errors import UserError

_FILES = ("*.safetensors", "*.json", "*.bin", "tokenizer.model")


def find_folder(source: str) -> Path:
    """A folder on this machine, or the cached copy of a model on the Hugging Face hub.

    Raises:
      UserError: there is no such folder, and the hub does not give it.
    """
    if Path(source).is_dir():
        return Path(source)
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise UserError(f"no folder {source}: pass a folder with weights, or a hub's owner/name")
    from huggingface_hub import snapshot_download  # slow to import, and needed only here

    try:
        return Path(snapshot_download(source, allow_patterns=list(_FILES)))
    except Exception as error:
        raise UserError(
            f"{source} is no folder here and could not be fetched from the hub "
            f"({type(error).__name__}: {error}); download it where there is a network and pass "
            "its folder instead"
        ) from error


def find_tower(folder: Path, name: str) -> Path:
    """The vision tower that a checkpoint in the original layout names but may not hold.

    Looked for in the folder, beside it, and then as `find_folder` does.
    """
    for place in (folder / name, folder.parent / name):
        if name and (place / "config.json").exists():
            return place
    try:
        return find_folder(name)
    except UserError as error:
        raise UserError(
            f"{folder} leaves out its vision tower {name!r}: give its folder ({error})"
        ) from None
