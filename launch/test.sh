#!/usr/bin/env bash
# Sets up .venv and runs the linters and the tests; extra arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
source launch/environment.sh
prepare_environment requirements-dev.txt
export JAX_PLATFORMS=cpu
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# One process a core; the tests of a file share what they compile.
exec .venv/bin/python -m pytest --numprocesses=2 --dist=loadfile "$@"
