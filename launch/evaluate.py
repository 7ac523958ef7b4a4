"""Evaluates a model, or the answers that one gave.

On the scenes that a run's recipe held out, beside the blind and the untrained model (leaves
`held_out` in its report.json, and samples.png):
  python launch/evaluate.py --checkpoint=DIR
On image-caption pairs in LLaVA's JSON (leaves `held_out_captions`, and captions.png):
  python launch/evaluate.py --checkpoint=DIR --captions=FILE --images=DIR
On benchmarks (leaves report.json, report.md, report.html and the answers in OUT; a restart asks
only what is missing; on several hosts as launch/train.py):
  python launch/evaluate.py --checkpoint=DIR --benchmark=pope,gqa --data=DIR --out=OUT
  python launch/evaluate.py --answers=FILE --benchmark=pope --data=DIR --out=OUT
Its speed and size, beside transformers where installed (leaves `efficiency` in OUT/report.json):
  python launch/evaluate.py --checkpoint=DIR --efficiency --out=OUT
"""

from pathlib import Path
from typing import cast

from absl import flags

from llava_jax import launching
from llava_jax.errors import UserError

_CHECKPOINT = flags.DEFINE_string("checkpoint", "", "A training run, or any other checkpoint.")
_CAPTIONS = flags.DEFINE_string("captions", None, "Image-caption pairs, LLaVA's JSON or JSONL.")
_IMAGES = flags.DEFINE_string("images", "", "Folder that the pairs' image paths start from.")
_SETUP_MINUTES = flags.DEFINE_float(
    "setup_minutes", None, "Time that making the environment took, for the report."
)
_BENCHMARK = flags.DEFINE_list("benchmark", [], "Names of benchmarks, with commas.")
_DATA = flags.DEFINE_string("data", None, "Their files: a folder for each; of one, its folder.")
_OUT = flags.DEFINE_string("out", None, "Folder for answers and reports.")
_ANSWERS = flags.DEFINE_list("answers", [], "Stored answers instead of a model, one a benchmark.")
_COMPARE = flags.DEFINE_list("compare", [], "Another model's answers, one a benchmark.")
_MODE = flags.DEFINE_enum(
    "mode", "strict", ["paper", "strict"], "Scoring: the original's, or ours by stated rules."
)
_BLIND = flags.DEFINE_bool("blind", True, "Ask about grey images too, at twice the time.")
_LIMIT = flags.DEFINE_integer("limit", 0, "Questions of each benchmark; 0: all.", lower_bound=0)
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 1024, "Of an answer.", lower_bound=1)
_TEMPLATE = flags.DEFINE_string("template", "", "Conversation template, not the checkpoint's.")
_EFFICIENCY = flags.DEFINE_bool("efficiency", False, "Measure speed, memory and arithmetic.")
_PROCESSES = launching.define_processes()


def main() -> None:
    if bool(_CHECKPOINT.value) == bool(_ANSWERS.value):
        raise UserError("give either --checkpoint, a model, or --answers, what one said")
    if _EFFICIENCY.value:
        measure()
    if _BENCHMARK.value:
        evaluate_benchmarks()
    elif _CHECKPOINT.value and not _EFFICIENCY.value:
        evaluate_run()
    elif not _CHECKPOINT.value:
        raise UserError("give --benchmark, the name of what --answers answers")


def measure() -> None:
    """Comes first: the processes that it starts want the devices for themselves."""
    from rich.console import Console

    from llava_jax.evaluation.efficiency import measure_efficiency

    if not _CHECKPOINT.value or not _OUT.value:
        raise UserError("--efficiency wants --checkpoint, and --out, a folder for its report")
    out = Path(_OUT.value).expanduser()
    measure_efficiency(_CHECKPOINT.value, _TEMPLATE.value, out, Console(stderr=True))


def evaluate_benchmarks() -> None:
    from rich.console import Console

    from llava_jax.evaluation.benchmark_run import (
        Checkpoint,
        Job,
        evaluate_answers,
        evaluate_model,
    )
    from llava_jax.evaluation.benchmarks.benchmark import Mode
    from llava_jax.evaluation.benchmarks.table import named
    from llava_jax.processes import is_first, joined

    if not _DATA.value or not _OUT.value:
        raise UserError("--benchmark wants --data, the folder of its files, and --out, a new one")
    console = Console(stderr=True)
    benchmarks = named(_BENCHMARK.value)
    for flag in (_ANSWERS, _COMPARE):
        if len(flag.value) not in (0, len(benchmarks)):
            raise UserError(f"--{flag.name} wants a file for each --benchmark, in their order")
    job = Job(
        benchmarks,
        Path(_DATA.value).expanduser(),
        Path(_OUT.value).expanduser(),
        cast(Mode, _MODE.value),
        _LIMIT.value,
        [Path(file).expanduser() for file in _COMPARE.value],
    )
    if _ANSWERS.value:
        files = [Path(file).expanduser() for file in _ANSWERS.value]
        evaluate_answers(job, files, console)
    else:
        checkpoint = Checkpoint(
            _CHECKPOINT.value, _TEMPLATE.value, _MAX_NEW_TOKENS.value, _BLIND.value
        )
        with joined(*_PROCESSES()):
            evaluate_model(job, checkpoint, console)
    if is_first():
        console.print(f"report: {job.out / 'report.html'}")


def evaluate_run() -> None:
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
