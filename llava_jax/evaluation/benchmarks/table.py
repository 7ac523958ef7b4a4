"""All benchmarks by name."""

from collections.abc import Iterable

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.gqa import Gqa
from llava_jax.evaluation.benchmarks.mm_vet import MmVet
from llava_jax.evaluation.benchmarks.mmbench import MMBENCH, MMBENCH_CN
from llava_jax.evaluation.benchmarks.mme import Mme
from llava_jax.evaluation.benchmarks.pope import Pope
from llava_jax.evaluation.benchmarks.scienceqa import ScienceQa
from llava_jax.evaluation.benchmarks.seed_bench import SeedBench
from llava_jax.evaluation.benchmarks.textvqa import TextVqa
from llava_jax.evaluation.benchmarks.vizwiz import VizWiz
from llava_jax.evaluation.benchmarks.vqav2 import VqaV2

_ALL: tuple[Benchmark, ...] = (
    *(VqaV2(), Gqa(), VizWiz(), ScienceQa(), TextVqa(), Pope()),
    *(Mme(), MMBENCH, MMBENCH_CN, SeedBench(), MmVet()),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}


def named(names: Iterable[str]) -> list[Benchmark]:
    """Raises UserError for a name that is none."""
    names = list(names)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise UserError(
            f"no benchmark is called {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}"
        )
    return [BENCHMARKS[name] for name in names]
