"""The table of benchmarks: each has its name and says what it lacks."""

from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.published import PUBLISHED
from llava_jax.evaluation.benchmarks.table import BENCHMARKS, named


@pytest.mark.parametrize("name", BENCHMARKS)
def test_missing_files_are_named_with_what_to_download(name: str, tmp_path: Path) -> None:
    benchmark = BENCHMARKS[name]
    assert isinstance(benchmark, Benchmark)
    assert benchmark.files[0].path
    with pytest.raises(UserError, match="download and put them there") as refused:
        benchmark.load(tmp_path)
    assert str(tmp_path / benchmark.files[0].path) in str(refused.value)


def test_published_figures_are_of_benchmarks_that_there_are() -> None:
    assert PUBLISHED.keys() <= BENCHMARKS.keys()


def test_names() -> None:
    assert [benchmark.name for benchmark in named(["mme", "pope"])] == ["mme", "pope"]
    with pytest.raises(UserError, match="no benchmark is called mmme: there are vqav2, gqa"):
        named(["mme", "mmme"])
