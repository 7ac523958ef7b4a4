"""report.json of a run: what it took and what it reached, gathered as the run goes on."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llava_jax.errors import UserError
from llava_jax.processes import is_first
from llava_jax.run_folder import RunFolder, reaching, write_whole


def read_report(workdir: RunFolder) -> dict[str, Any]:
    """What is known so far; empty before anything is."""
    path = workdir / "report.json"
    with reaching(path):
        text = path.read_text() if path.exists() else "{}"
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}): remove it, and figures are gathered anew"
        ) from error


def update_report(workdir: RunFolder, **entries: Any) -> None:
    """Sets entries at the top level; the file is replaced whole or not at all."""
    path = workdir / "report.json"
    write_whole(path, (json.dumps(read_report(workdir) | entries, indent=2) + "\n").encode())


def add_minutes(workdir: RunFolder, part: str, minutes: float) -> None:
    """Adds to the time a part of the run took; a resumed run goes on counting."""
    spent = read_report(workdir).get("minutes", {})
    spent[part] = round(spent.get(part, 0.0) + minutes, 3)
    update_report(workdir, minutes=spent)


@contextmanager
def timed(workdir: RunFolder, part: str) -> Iterator[None]:
    """Counts the time inside as that part's; of several processes the first one counts."""
    start = time.monotonic()
    yield
    if is_first():
        add_minutes(workdir, part, (time.monotonic() - start) / 60)
