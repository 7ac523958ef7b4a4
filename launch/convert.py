"""Turns one LLaVA checkpoint dialect into another.

  python launch/convert.py --source=DIR --target=DIR --format=hf|original|orbax|projector [--verify]

The source is a folder (or a hub's owner/name): llava-hf as transformers 4 or 5 names it, the
original's layout, a training run of this project, its orbax export, a projector alone or a plain
decoder (the last two with --vision and --language). Which it is, its tensors tell.
"""

from pathlib import Path

from absl import flags

from llava_jax import launching

_SOURCE = flags.DEFINE_string("source", None, "Checkpoint to read.", required=True)
_TARGET = flags.DEFINE_string("target", None, "Folder to write; must not exist.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format", None, ["hf", "original", "orbax", "projector"], "Dialect to write.", required=True
)
_VERIFY = flags.DEFINE_bool("verify", False, "Run both sides on an image and compare.")
_VISION = flags.DEFINE_string("vision", "", "Vision tower, where the source does not hold it.")
_LANGUAGE = flags.DEFINE_string("language", "", "Decoder, where the source is a projector alone.")
_TOKENIZER = flags.DEFINE_string("tokenizer", "", "Folder of a tokenizer instead of the source's.")
_TEMPLATE = flags.DEFINE_string("template", "", "Conversation template instead of the source's.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "", ["", "float32", "bfloat16", "float16"], "Instead of the stored one."
)


def main() -> None:
    from rich.console import Console

    from llava_jax.conversion.convert import Conversion, convert
    from llava_jax.run_folder import refuse_url

    refuse_url("--source", _SOURCE.value)
    refuse_url("--target", _TARGET.value)
    job = Conversion(
        source=_SOURCE.value,
        target=Path(_TARGET.value).expanduser(),
        format=_FORMAT.value,
        vision=_VISION.value,
        language=_LANGUAGE.value,
        tokenizer=_TOKENIZER.value,
        template=_TEMPLATE.value,
        dtype=_DTYPE.value,
        verify=_VERIFY.value,
    )
    convert(job, Console(stderr=True))


if __name__ == "__main__":
    launching.run(main)
