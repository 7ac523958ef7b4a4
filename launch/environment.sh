# Sourced by the other scripts: makes .venv in the repository root and installs into it.
# Usage: source launch/environment.sh; prepare_environment requirements.txt

prepare_environment() {
  local requirements=$1 python=.venv/bin/python
  local stamp=.venv/${requirements##*/}.installed
  if [ ! -x "$python" ]; then
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
      echo "Python 3.11 or newer is needed; this is $(python3 --version)" >&2
      return 2
    }
    python3 -m venv .venv || {
      echo "could not make .venv: is Python's venv module installed (python3-venv)?" >&2
      return 2
    }
  fi
  # A copy of the requirements marks what is installed: only a change installs anew.
  if ! cat requirements.txt requirements-web.txt "$requirements" | cmp -s - "$stamp"; then
    echo "installing $requirements into .venv" >&2
    "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements" &&
      "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
        -r requirements-web.txt -e . || {
      echo "installing failed: is there a network? Run the same command again" >&2
      return 2
    }
    cat requirements.txt requirements-web.txt "$requirements" > "$stamp"
  fi
}
