"""All benchmarks by name."""

from collections.abc import Iterable

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.pope import Pope

_ALL: tuple[Benchmark, ...] = (Pope(),)
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
