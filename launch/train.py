"""Trains a recipe, stage by stage, and goes on where an earlier run in the same folder stopped.

  python launch/train.py --config=configs/pocket.py --workdir=DIR [--config.KEY=VALUE ...]
On the hosts of a TPU slice, the same on each with --coordinator=auto; on other machines with
  --coordinator=HOST:PORT --processes=N --process=0 (1, 2, ...)
"""

from absl import flags
from ml_collections import config_flags

from llava_jax import launching

_CONFIG = config_flags.DEFINE_config_file("config", None, "The recipe.")
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run (data, checkpoints, metrics), or its URL: gs://BUCKET/FOLDER.",
    required=True,
)
_PROCESSES = launching.define_processes()
flags.mark_flag_as_required("config")


def main() -> None:
    from llava_jax.processes import joined
    from llava_jax.run_folder import run_folder
    from llava_jax.training.loop import train

    recipe = launching.read_recipe(_CONFIG)
    workdir = run_folder(_WORKDIR.value)
    with joined(*_PROCESSES()):
        train(recipe, workdir)


if __name__ == "__main__":
    launching.run(main)
