"""Evaluates a run beside the blind and the untrained model.

On the scenes its recipe held out (leaves `held_out` in DIR/report.json, and DIR/samples.png):
  python launch/evaluate.py --checkpoint=DIR
On image-caption pairs in LLaVA's JSON (leaves `held_out_captions`, and DIR/captions.png):
  python launch/evaluate.py --checkpoint=DIR --captions=FILE --images=DIR
"""

from pathlib import Path

from absl import flags

from llava_jax import launching

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a training run.", required=True)
_CAPTIONS = flags.DEFINE_string("captions", None, "Image-caption pairs, LLaVA's JSON or JSONL.")
_IMAGES = flags.DEFINE_string("images", "", "Folder that the pairs' image paths start from.")
_SETUP_MINUTES = flags.DEFINE_float(
    "setup_minutes", None, "Time that making the environment took, for the report."
)


def main() -> None:
    from rich.console import Console

    from llava_jax.evaluation.captions import evaluate_captions
    from llava_jax.evaluation.held_out import evaluate_held_out
    from llava_jax.report import add_minutes
    from llava_jax.run_folder import refuse_url

    refuse_url("--checkpoint", _CHECKPOINT.value)
    workdir = Path(_CHECKPOINT.value).expanduser()
    if _CAPTIONS.value is None:
        evaluate_held_out(workdir, Console())
    else:
        evaluate_captions(workdir, _CAPTIONS.value, _IMAGES.value, Console())
    if _SETUP_MINUTES.value is not None:
        add_minutes(workdir, "setup", _SETUP_MINUTES.value)


if __name__ == "__main__":
    launching.run(main)
