"""The story of a conversion: open, write under a temporary name, verify, rename."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from llava_jax.conversion.verify import compare
from llava_jax.errors import UserError
from llava_jax.weights.finite import finite
from llava_jax.weights.hf_export import write_hf
from llava_jax.weights.opening import open_checkpoint
from llava_jax.weights.orbax_llava import write_orbax
from llava_jax.weights.original_export import write_original
from llava_jax.weights.projectors import FILE_NAME, write_projector
from llava_jax.weights.stored_llava import StoredLlava, in_dtype
from llava_jax.weights.tokenizers import copy_tokenizer


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What is asked for.

    source, vision, language: as `weights.opening.open_checkpoint` takes them. target: a folder that
    does not exist yet (or is empty). tokenizer: a folder, instead of the source's. template: the
    conversation template it is talked to with, instead of the source's. dtype: instead of the
    stored one.
    """

    source: str
    target: Path
    format: str
    vision: str = ""
    language: str = ""
    tokenizer: str = ""
    template: str = ""
    dtype: str = ""
    verify: bool = False


def convert(job: Conversion, console: Console) -> dict[str, Any]:
    """Converts; returns what was found: bytes, tensors left out, and the comparison if asked for.

    The target appears whole or not at all: it is written beside its place and renamed at the end,
    after verification.

    Raises:
      UserError: a source that cannot be read, a target that cannot hold it, or outputs outside
        tolerance.
    """
    target = job.target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists already: remove it, or name another --target")
    llava = _opened(job)
    _refuse_full_disk(llava, target)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _progress(llava, console) as advance:
            _write(llava, job.format, partial, advance)
        findings = _findings(llava, job, console)
        if job.verify:
            findings["comparison"] = compare(llava, partial, job.format, console)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise UserError(f"could not write {target}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    console.print(f"{job.format}: {target}")
    return findings


def _opened(job: Conversion) -> StoredLlava:
    llava = open_checkpoint(job.source, vision=job.vision, language=job.language)
    tensors = {path: finite(path, tensor) for path, tensor in llava.tensors.items()}
    llava = dataclasses.replace(llava, tensors=tensors)
    if job.dtype:
        llava = in_dtype(llava, job.dtype)
    if job.tokenizer:
        llava = dataclasses.replace(llava, tokenizer=Path(job.tokenizer).expanduser())
    if job.template:
        llava = dataclasses.replace(
            llava, usage=dataclasses.replace(llava.usage, template=job.template)
        )
    return llava


def _refuse_full_disk(llava: StoredLlava, target: Path) -> None:
    place = target.absolute().parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < llava.nbytes:
        raise UserError(
            f"{target} needs {llava.nbytes / 1e9:.1f} GB and the disk has {free / 1e9:.1f}: make "
            "room, or name another --target"
        )


def _write(llava: StoredLlava, form: str, folder: Path, advance: Callable[[int], None]) -> None:
    if form == "hf":
        write_hf(llava, folder, advance)
    elif form == "original":
        write_original(llava, folder, advance)
    elif form == "orbax":
        write_orbax(llava, folder, advance)
        if llava.tokenizer is not None:
            copy_tokenizer(llava.tokenizer, folder)
    else:
        write_projector(llava.tensors, llava.config, folder / FILE_NAME)


def _findings(llava: StoredLlava, job: Conversion, console: Console) -> dict[str, Any]:
    if llava.left_out:
        shown = ", ".join(llava.left_out[:5]) + (" ..." if len(llava.left_out) > 5 else "")
        console.print(f"left out, since no LLaVA needs them: {shown}")
    if llava.tokenizer is None and job.format != "projector":
        console.print(
            "no tokenizer was found, so none is written (nor a processor): give --tokenizer"
        )
    return {"bytes": llava.nbytes, "left_out": list(llava.left_out)}


class _progress:
    """A bar over the bytes written, with an ETA."""

    def __init__(self, llava: StoredLlava, console: Console):
        self._bar = Progress(
            TextColumn("writing"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("writing", total=llava.nbytes)

    def __enter__(self) -> Callable[[int], None]:
        self._bar.start()
        return lambda done: self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
