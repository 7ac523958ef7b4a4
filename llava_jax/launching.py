"""How every program in launch/ starts and ends.

A launcher imports this, absl and the standard library at its top, everything else inside its main:
`run` first sets an environment that must be there before jax is, and before the process itself.
"""

import glob
import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from absl import app, flags, logging

from llava_jax.config import Recipe, cache_folder, parse
from llava_jax.errors import (
    INTERRUPTED,
    SET_ASIDE,
    TERMINATED,
    USER_ERROR,
    SetAside,
    Stopped,
    UserError,
)

# glibc gives freed memory back at once and takes it again, page by page, each step: on a CPU this
# costs a third of a training step. These keep it.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # large pages: weights are read 5% faster
}
_PATIENCE = 10.0  # seconds for threads to end after an error


def run(main: Callable[[], None], environment: Mapping[str, str] | None = None) -> None:
    """Parses the flags, runs main, exits: 0, 2 after what the user can mend, 3 after a run that set
    a part of its input aside, 75 where another process of the run was lost (see `processes`), 130
    after Ctrl-C, 143 after SIGTERM.

    A UserError is one line on stderr; any other exception is a bug, and keeps its traceback.

    environment: what must stand there for this program, whatever the user has set.
    """
    restart_with_environment(environment or {})
    threading.excepthook = _without_savers
    sys.unraisablehook = _without_writers
    try:
        app.run(lambda _: main(), flags_parser=_parse_flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        _without_waiting(USER_ERROR)
    except SetAside as partly:
        print(f"finished, but: {partly}", file=sys.stderr)
        sys.exit(SET_ASIDE)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(TERMINATED)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        sys.exit(INTERRUPTED)


def _without_waiting(code: int) -> NoReturn:
    """sys.exit; but threads that a failed library left waiting for ever are given up."""
    end = threading.Timer(_PATIENCE, os._exit, [code])
    end.daemon = True
    end.start()
    sys.exit(code)


def define_processes() -> Callable[[], tuple[str, int, int]]:
    """Flags of a run of several processes; once parsed, what `processes.joined` wants."""
    coordinator = flags.DEFINE_string(
        "coordinator", "", "Of a run of several processes: host:port of the first, or auto on TPUs."
    )
    count = flags.DEFINE_integer("processes", 0, "How many there are (with host:port).")
    index = flags.DEFINE_integer("process", 0, "Which this is, from 0 (with host:port).")
    return lambda: (coordinator.value, count.value, index.value)


def read_recipe(config: Any) -> Recipe:
    """What a flag of `config_flags.DEFINE_config_file` names.

    Raises:
      UserError: no such file, or a recipe that cannot be.
    """
    try:
        return parse(config.value)
    except OSError as error:  # raised on reading the config, not on parsing the flag
        file = getattr(flags.FLAGS[config.name], "config_filename", "")
        raise UserError(f"cannot read the recipe {file}: configs/ holds recipes") from error


def _without_savers(failure: threading.ExceptHookArgs) -> None:
    """Orbax raises its saving thread's error again where it is waited for: once is enough."""
    if not type(failure.thread).__module__.startswith("orbax"):
        threading.__excepthook__(failure)


def _without_writers(failure: "sys.UnraisableHookArgs") -> None:
    """What orbax's writing threads still had to tell a save that has failed, hundreds of times."""
    if str(failure.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(failure)


def restart_with_environment(required: Mapping[str, str]) -> None:
    """Sets what XLA wants of the environment; where something was missing, starts the process anew.

    What the user has set stays, but for what is required. Compiled programs are kept in the cache
    folder for the next start.
    """
    wanted = {
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder() / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    if platform.libc_ver()[0] == "glibc" and not _has_tpu():
        wanted |= _KEEP_MEMORY
    environment = {**wanted, **os.environ, **required}
    if environment != os.environ:
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, environment)


def _has_tpu() -> bool:
    return bool(glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*"))


def _parse_flags(arguments: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(arguments)
    except flags.Error as error:
        missing = re.findall(r"Flag (--\w+) must have a value other than None", str(error))
        said = f"give {' and '.join(missing)}" if missing else error
        raise UserError(f"{said} (--help shows the flags)") from error
    except SyntaxError as error:  # from --config=FILE
        raise UserError(
            f"{error.filename} is no recipe: {error.msg}, line {error.lineno}"
        ) from None
    except (AttributeError, KeyError) as error:  # from ml_collections, about --config.KEY=...
        message = error.args[0]
        while isinstance(message, Exception):
            message = message.args[0]
        raise UserError(f"the recipe has no key {'. '.join(message.splitlines())}") from error
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.FATAL)  # what matters to the user is raised, and said once
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    return rest
