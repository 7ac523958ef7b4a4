"""Grids from the command line and from files, and the runs that they take."""

from pathlib import Path

import pytest

from configs import pocket
from llava_jax.config import parse
from llava_jax.errors import UserError
from llava_jax.evaluation.ablation.plan import Factor, parse_grid, points, read_plan, runs
from tests.conftest import REPOSITORY


def test_a_grid_is_every_combination() -> None:
    grid = parse_grid(
        "model.feature_layers=[(-1,), (-2, -1)] x model.projector=['linear', 'a x b=']"
    )
    assert [point.overrides for point in points(grid)] == [
        {"model.feature_layers": layers, "model.projector": kind}
        for layers in ((-1,), (-2, -1))
        for kind in ("linear", "a x b=")
    ]
    assert points(grid)[0].label == "(-1,), linear"


@pytest.mark.parametrize(
    "text", ["", "seed", "seed=1", "seed=[]", "seed=[1", "seed=[x]", "a b=[1]"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="write KEY="):
        parse_grid(text)


def test_equal_recipes_are_trained_once_and_folders_differ() -> None:
    layer = Factor("layer", {"last": {}, "before": {"model.feature_layers": (-2,)}})
    stage = Factor("stage 1", {"with": {}, "without": {"stages": ("instruct",)}})
    same = Factor("layer", {"before": {"seed": 1}})
    wanted = runs([[layer], [stage], [same], [layer, stage]])
    names = [run.name for run in wanted.values()]
    assert names == [
        *("recipe", "layer=before", "stage_1=without", "layer=before~2"),
        "layer_stage_1=before_without",
    ]


def test_the_pocket_plan_fits_its_recipe() -> None:
    for run in runs(read_plan(REPOSITORY / "configs" / "ablations" / "pocket.py")).values():
        config = pocket.get_config()
        config.update_from_flattened_dict(dict(run.overrides))
        parse(config)


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no plan"):
        read_plan(tmp_path / "plan.py")
    (tmp_path / "plan.py").write_text("grids = []\n")
    with pytest.raises(UserError, match="get_plan"):
        read_plan(tmp_path / "plan.py")
