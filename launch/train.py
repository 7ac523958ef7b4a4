"""Trains a recipe, stage by stage, and goes on where an earlier run in the same folder stopped.

  python launch/train.py --config=configs/pocket.py --workdir=DIR [--config.KEY=VALUE ...]
On the hosts of a TPU slice, the same on each with --coordinator=auto; on other machines with
  --coordinator=HOST:PORT --processes=N --process=0 (1, 2, ...)
"""

from absl import flags
from ml_collections import config_flags

from llava_jax import launching
from llava_jax.errors import UserError

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
    from llava_jax.config import parse
    from llava_jax.processes import joined
    from llava_jax.run_folder import run_folder
    from llava_jax.training.loop import train

    try:
        recipe = parse(_CONFIG.value)
    except OSError as error:  # raised on reading the config, not on parsing the flag
        file = next((word for word in str(error).split() if word.endswith(".py")), "--config")
        raise UserError(f"cannot read the recipe {file}: configs/ holds recipes") from error
    workdir = run_folder(_WORKDIR.value)
    with joined(*_PROCESSES()):
        train(recipe, workdir)


if __name__ == "__main__":
    launching.run(main)
