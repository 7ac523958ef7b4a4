"""Sample answers during training: first images of the stage's data, asked their own questions."""

from pathlib import Path

from llava_jax.config import Stage
from llava_jax.data.records import Record
from llava_jax.inference.engine import Engine, ask
from llava_jax.sheet import SheetItem, SheetLine, draw_sheet
from llava_jax.training.stage import first_with_images, open_source

_IMAGES = 6
_LONGEST = 64  # tokens


def sample_records(stage: Stage, workdir: Path) -> list[Record]:
    """The same few records at every call, so that sheets of one run can be compared."""
    sources = [open_source(source, workdir) for source in stage.data.values()]
    return [record for source in sources for record in first_with_images(source, _IMAGES)][:_IMAGES]


def write_samples(engine: Engine, records: list[Record], path: Path) -> Path:
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
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(items, path)
    return path


def _question(record: Record) -> str:
    return record.conversations[0]["value"].replace("<image>", "").strip()
