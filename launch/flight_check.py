"""Compiles a stage's training step for a TPU that is not there, and says what to expect of it.

  python launch/flight_check.py --config=configs/llava_v1_5_7b.py --stage=instruct \\
    --topology=v5e-64 [--out=report.json] [--dump_hlo=program.txt] [--search] \\
    [--config.remat=attention --config.mesh.tensor=2 --config.stage.instruct.accumulate=2 ...]

  python launch/flight_check.py --config=configs/llava_v1_5_7b.py --stage=prefill|decode \\
    --topology=v5e-8 [--rows=32] [--context=2048] [--int8]

A topology is a slice as it is rented: v5e-64 and v6e-8 count chips, v4-64 and v5p-8 cores (two a
chip); 4xv5e-64 is four slices. Times are modelled, never measured.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from llava_jax import launching
from llava_jax.errors import UserError
from llava_jax.tpu.environment import COMPILER_ENVIRONMENT

_CONFIG = config_flags.DEFINE_config_file("config", None, "The recipe.")
_STAGE = flags.DEFINE_string(
    "stage", None, "The stage to check, or prefill or decode.", required=True
)
_TOPOLOGY = flags.DEFINE_string("topology", None, "TPU slice, as v5e-64.", required=True)
_SAMPLES = flags.DEFINE_float(
    "samples_per_row", 1.0, "Mean samples of a row; more than 1 where rows are packed.", 0.1
)
_ROWS = flags.DEFINE_integer("rows", 1, "Rows that prefill or decode takes at once.", 1)
_CONTEXT = flags.DEFINE_integer("context", 2048, "Tokens of each of these rows.", 1)
_INT8 = flags.DEFINE_bool("int8", False, "Weights in 8 bits, for prefill and decode.")
_SEARCH = flags.DEFINE_bool("search", False, "Look for the best mesh, remat and micro-batch.")
_OUT = flags.DEFINE_string("out", "", "JSON to write; a plot is written beside it.")
_DUMP = flags.DEFINE_string("dump_hlo", "", "File for the compiled program's text.")
flags.mark_flag_as_required("config")


def main() -> None:
    from llava_jax.tpu.environment import own_temporary_folder

    own_temporary_folder()
    from rich.console import Console

    from llava_jax.run_folder import writable
    from llava_jax.tpu import inference_check
    from llava_jax.tpu.flight_check import Check
    from llava_jax.tpu.presentation import does_not_fit, present
    from llava_jax.tpu.search import check_or_nearest, search
    from llava_jax.tpu.topology import parse_topology

    console = Console()
    recipe, topology = launching.read_recipe(_CONFIG), parse_topology(_TOPOLOGY.value)
    out, dump = (
        writable(f"--{flag.name}", flag.value) if flag.value else None for flag in (_OUT, _DUMP)
    )
    if out is not None and out.suffix == ".png":
        raise UserError(f"--out={_OUT.value}: name the JSON, as report.json; its plot gets .png")
    if _STAGE.value in inference_check.KINDS:
        _refuse([_SAMPLES, _SEARCH], "is for training stages")
        report, program = inference_check.run_inference_check(
            inference_check.InferenceCheck(
                recipe, _STAGE.value, topology, _ROWS.value, _CONTEXT.value, _INT8.value
            )
        )
    else:
        stage = f"config.stage.{_STAGE.value}"
        _refuse([_ROWS, _CONTEXT, _INT8], f"is for prefill and decode; a stage has --{stage}.rows")
        check = Check(recipe, _STAGE.value, topology, _SAMPLES.value)
        report, program = (search if _SEARCH.value else check_or_nearest)(check, console)
    present(report, console, out)
    if not report.fits:
        raise UserError(f"{does_not_fit(report)}: take fewer rows or a larger topology")
    if dump is not None:
        dump.write_text(program)


def _refuse(given: Sequence[flags.FlagHolder], why: str) -> None:
    for flag in given:
        if flag.present:
            raise UserError(f"--{flag.name} {why}")


if __name__ == "__main__":
    launching.run(main, COMPILER_ENVIRONMENT)
