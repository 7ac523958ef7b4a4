"""All benchmarks by name."""

from collections.abc import Iterable

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.gqa import Gqa
from llava_jax.evaluation.benchmarks.llava_bench import LLAVA_BENCH_COCO, LLAVA_BENCH_WILD
from llava_jax.evaluation.benchmarks.mm_vet import MmVet
from llava_jax.evaluation.benchmarks.mmbench import MMBENCH, MMBENCH_CN
from llava_jax.evaluation.benchmarks.mme import Mme
from llava_jax.evaluation.benchmarks.pope import Pope
from llava_jax.evaluation.benchmarks.scienceqa import ScienceQa
from llava_jax.evaluation.benchmarks.seed_bench import SeedBench
from llava_jax.evaluation.benchmarks.textvqa import TextVqa
from llava_jax.evaluation.benchmarks.vizwiz import VizWiz
from llava_jax.evaluation.benchmarks.vqav2 import VqaV2
from llava_jax.evaluation.failures.captions import SUGARCREPE, WINOGROUND, aro
from llava_jax.evaluation.failures.chair import Chair
from llava_jax.evaluation.failures.pairs import MMVP, NATURALBENCH
from llava_jax.evaluation.failures.places import WHATSUP, vsr, whatsup
from llava_jax.evaluation.failures.pope import ScenePope
from llava_jax.evaluation.failures.scenes import SCENE_PROBES

_ALL: tuple[Benchmark, ...] = (
    *(VqaV2(), Gqa(), VizWiz(), ScienceQa(), TextVqa(), Pope()),
    *(Mme(), MMBENCH, MMBENCH_CN, SeedBench(), MmVet(), LLAVA_BENCH_COCO, LLAVA_BENCH_WILD),
    *(SCENE_PROBES, ScenePope(), Chair(), WINOGROUND, SUGARCREPE, MMVP, NATURALBENCH),
    *(aro("relation"), aro("attribution"), vsr("random"), vsr("zeroshot"), *map(whatsup, WHATSUP)),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}

# A model's answers to these say nothing until a judge has read them.
JUDGED = frozenset({LLAVA_BENCH_COCO.name, LLAVA_BENCH_WILD.name, MmVet.name})


def named(names: Iterable[str]) -> list[Benchmark]:
    """Raises UserError for a name that is none."""
    names = list(names)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise UserError(
            f"no benchmark is called {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}"
        )
    return [BENCHMARKS[name] for name in names]
