import collections
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llava_jax.errors import UserError
from llava_jax.weights.checkpoints import StageCheckpoints

PARAMS = {"projector": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
OPTIMIZER = (jnp.zeros(()), {"projector": {"kernel": jnp.ones((2, 3))}})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    with StageCheckpoints(tmp_path / "c", keep=2) as checkpoints:
        assert checkpoints.latest is None
        for step in (1, 2, 3):
            params = jax.tree.map(lambda leaf, step=step: leaf + step, PARAMS)
            checkpoints.save(step, params, OPTIMIZER, {"row": 4 * step})
    with StageCheckpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.steps == [2, 3]
        params, optimizer, data = checkpoints.restore(PARAMS, OPTIMIZER)
        np.testing.assert_array_equal(
            params["projector"]["kernel"], np.arange(6.0).reshape(2, 3) + 3
        )
        jax.tree.map(np.testing.assert_array_equal, optimizer, OPTIMIZER)
        assert data == {"row": 12}
        older = checkpoints.restore_params(PARAMS, 2)
        np.testing.assert_array_equal(older["projector"]["kernel"][0], [2, 3, 4])


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "free")
    with StageCheckpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, PARAMS, OPTIMIZER, {})
        checkpoints.wait()
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10))
        with pytest.raises(UserError, match=r"needs 0 MB, the disk has 0.*untouched"):
            checkpoints.save(2, PARAMS, OPTIMIZER, {})
        assert checkpoints.steps == [1]


def test_another_recipes_or_a_damaged_checkpoint(tmp_path: Path) -> None:
    with StageCheckpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(7, PARAMS, OPTIMIZER, {})
        checkpoints.wait()
        other = {"projector": {"kernel": jnp.zeros((5, 5))}, "more": jnp.zeros(2)}
        with pytest.raises(UserError, match="step 7 in"):
            checkpoints.restore_params(other)
        for file in (tmp_path / "c" / "7" / "params").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
        with pytest.raises(UserError, match="remove that step's folder"):
            checkpoints.restore_params(PARAMS)
