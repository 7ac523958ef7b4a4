"""One server for the tests that only ask it."""

from collections.abc import Iterator

import pytest

from tests.serving.live import Live, served


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with served() as live:
        yield live
