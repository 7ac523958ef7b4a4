import shutil
from pathlib import Path

import pytest

from tests.training.tiny_run import make_data, make_weights


@pytest.fixture(scope="session")
def tiny_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_weights(folder)
    make_data(folder)
    return folder


@pytest.fixture
def tiny_folder(tiny_session: Path, tmp_path: Path) -> Path:
    """Weights and data of the tiny recipe, in a folder that the test may change."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_session, folder)
    return folder
