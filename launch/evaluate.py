"""Evaluates a run on its held-out scenes, beside the blind and the untrained model.

python launch/evaluate.py --checkpoint=DIR

Leaves DIR/report.json (key held_out) and DIR/samples.png.
"""

from pathlib import Path

from absl import flags

from llava_jax import launching

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a training run.", required=True)
_SETUP_MINUTES = flags.DEFINE_float(
    "setup_minutes", None, "Time that making the environment took, for the report."
)


def main() -> None:
    from rich.console import Console

    from llava_jax.evaluation.held_out import evaluate_held_out
    from llava_jax.report import add_minutes

    workdir = Path(_CHECKPOINT.value).expanduser()
    evaluate_held_out(workdir, Console())
    if _SETUP_MINUTES.value is not None:
        add_minutes(workdir, "setup", _SETUP_MINUTES.value)


if __name__ == "__main__":
    launching.run(main)
