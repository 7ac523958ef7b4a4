"""Shared fixtures: where the reference data lies, and a clear skip where it does not."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden_dir",
        type=Path,
        default=SHARED_DATA / "golden",
        help="folder with recorded outputs of the original LLaVA",
    )


@pytest.fixture(scope="session")
def golden_dir(request: pytest.FixtureRequest) -> Path:
    """Recorded outputs of the original LLaVA; a user's clone has none, so those tests skip."""
    folder = request.config.getoption("--golden_dir")
    if not folder.is_dir():
        pytest.skip(f"no golden data at {folder} (pass --golden_dir)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data beside the repository; a user's clone has none, so those tests skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no reference data at {SHARED_DATA}")
    return SHARED_DATA
