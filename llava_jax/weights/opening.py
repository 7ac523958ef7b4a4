"""Any checkpoint that there is, told by its files and tensors: what it holds, not yet read."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute, local_compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.text.templates import Template, get_template
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights import huggingface
from llava_jax.weights.base import fresh_projector, joined, open_base
from llava_jax.weights.dialects import DIALECTS
from llava_jax.weights.folders import open_folder
from llava_jax.weights.hub import find_folder
from llava_jax.weights.orbax_llava import DESCRIPTION, open_orbax, open_params
from llava_jax.weights.projectors import FILE_NAME, open_projector
from llava_jax.weights.stored_llava import StoredLlava, Usage, load
from llava_jax.weights.tokenizers import read_tokenizer, tokenizer_in
from llava_jax.weights.workdir import checkpoint_folder, load_recipe, load_trained, newest_steps


def open_checkpoint(source: str, *, vision: str = "", language: str = "") -> StoredLlava:
    """A LLaVA in any of the forms that this project reads.

    Args:
      source: a folder (or a hub's owner/name) with a LLaVA in a known naming, a training run, an
        orbax export, a plain decoder (with `vision`: a fresh start, its projector untrained), or a
        projector alone, file or folder (with `vision` and `language`).
      vision: the tower's folder or hub name, where the source does not hold it.
      language: the decoder's.
    Raises:
      UserError: it is nothing of this, or damaged; it names what is missing.
    """
    path = Path(source).expanduser()
    if path.is_file() or ((path / FILE_NAME).exists() and not _has_model(path)):
        if not vision or not language:
            raise UserError(
                f"{source} is a projector alone: give --vision and --language, the folders of its "
                "tower and decoder"
            )
        return _assembled(vision, language, path)
    if (path / "recipe.json").exists():
        return open_run(path)
    if (path / DESCRIPTION).exists():
        return open_orbax(path)
    folder = find_folder(str(path) if path.is_dir() else source)
    names = open_folder(folder)
    if any(dialect.fits(names) for dialect in DIALECTS):
        return huggingface.open_llava(folder, find_folder(vision) if vision else None)
    if "model.embed_tokens.weight" in names and vision:
        return _assembled(vision, str(folder), None)
    if "model.embed_tokens.weight" in names:
        raise UserError(
            f"{source} is a decoder alone: give --vision, the folder of a tower, for a fresh start"
        )
    return huggingface.open_llava(folder)  # which says what is wrong with it


def _has_model(folder: Path) -> bool:
    return any(folder.glob("model*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def _assembled(vision: str, language: str, projector: Path | None) -> StoredLlava:
    """A tower and a decoder with a projector between them; None: an untrained one."""
    tower = find_folder(vision)
    decoder = find_folder(language)
    vision_config, vision_tensors = huggingface.open_vision(tower)
    language_config, language_tensors = huggingface.open_language(decoder)
    config = LlavaConfig(vision_config, ProjectorConfig(), language_config)
    if projector is None:
        tensors = fresh_projector(config, seed=0)
    else:
        kind, tensors = open_projector(projector, config)
        config = dataclasses.replace(config, projector=ProjectorConfig(kind))
    usage = Usage(tower=vision, vocabulary=language_config.vocab_size)
    return StoredLlava(
        config, joined(vision_tensors, tensors, language_tensors), usage, tokenizer_in(decoder)
    )


def open_run(workdir: Path) -> StoredLlava:
    """A training run as far as it has come: what its stages trained, over what it began with."""
    recipe = load_recipe(workdir)
    base = open_base(recipe)
    tensors = dict(base.tensors)
    steps = newest_steps(workdir, recipe)
    last = recipe.stage[recipe.stages[-1]]
    for name in (name for name in recipe.stages if name in steps):
        last = recipe.stage[name]
        tensors |= open_params(checkpoint_folder(workdir, name) / str(steps[name]) / "params")
    usage = dataclasses.replace(
        base.usage, template=last.template, image_mode=last.image_mode, as_trained=True
    )
    return dataclasses.replace(base, tensors=tensors, usage=usage)


class Model(NamedTuple):
    """A model to talk with: all that `inference.engine.Engine` takes."""

    config: LlavaConfig
    params: partition.Params
    compute: Compute
    tokenizer: Tokenizer
    template: Template
    image_mode: str
    as_trained: bool


def load_model(source: str, template: str = "") -> Model:
    """A checkpoint of any kind (`open_checkpoint`), read for use.

    A training run computes as its recipe says, anything else as suits this machine.

    Args:
      template: conversation template instead of the checkpoint's.
    Raises:
      UserError: it cannot be read, or comes without a tokenizer.
    """
    path = Path(source).expanduser()
    if (path / "recipe.json").exists():
        compute = local_compute(load_recipe(path).dtype)
        run = load_trained(path, compute)
        chosen = get_template(template or run.template)
        return Model(
            run.config, run.params, compute, run.tokenizer, chosen, run.image_mode, as_trained=True
        )
    llava = open_checkpoint(source)
    if llava.tokenizer is None:
        raise UserError(f"{source} has no tokenizer: put its tokenizer's files into the folder")
    usage, compute = llava.usage, local_compute("auto")
    chosen = get_template(template or usage.template)
    if any(usage.image_wrap):
        chosen = dataclasses.replace(chosen, image_wrap=usage.image_wrap)
    return Model(
        llava.config,
        load(llava, scan_layers=compute.scan_layers),
        compute,
        read_tokenizer(llava.tokenizer),
        chosen,
        usage.image_mode,
        usage.as_trained,
    )
