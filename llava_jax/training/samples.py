"""Sample answers during training: first images of the stage's data, asked their own questions."""

from itertools import islice
from pathlib import Path

from llava_jax.config import Stage
from llava_jax.data.records import Record
from llava_jax.images import ImageError
from llava_jax.inference.engine import Engine, ask
from llava_jax.run_folder import RunFolder, reaching
from llava_jax.sheet import SheetItem, SheetLine, draw_sheet
from llava_jax.training.stage import open_source

_IMAGES = 6
_LONGEST = 64  # tokens


def sample_records(stage: Stage, workdir: Path) -> list[Record]:
    """The first few records that can be shown: the same at every call, to compare sheets by."""
    sources = [open_source(source, workdir) for source in stage.data.values()]
    records = (source[i] for source in sources for i in range(len(source)))
    return list(islice(filter(_can_be_shown, records), _IMAGES))


def _can_be_shown(record: Record) -> bool:
    """Whether it has an answer, and an image that can be read; else training skips it as well."""
    if not record.images or len(record.conversations) < 2:
        return False
    try:
        record.images[0].load()
    except ImageError:
        return False
    return True


def write_samples(engine: Engine, records: list[Record], path: RunFolder) -> RunFolder:
    """Answers each record's first question and draws the sheet; the reference stands beside it."""
    requests = [
        ask(_question(record), record.images[0].read(), max_new_tokens=_LONGEST)
        for record in records
    ]
    items = [
        SheetItem(
            record.images[0].load(),
            (SheetLine(_question(record), answer.text, record.conversations[1]["value"]),),
        )
        for record, answer in zip(records, engine.generate(requests), strict=True)
    ]
    with reaching(path):
        draw_sheet(items, path)
    return path


def _question(record: Record) -> str:
    return record.conversations[0]["value"].replace("<image>", "").strip()
