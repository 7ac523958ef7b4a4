"""Looks at data before training does: what is missing, broken, or cannot be learned from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from llava_jax.data.bad_images import BadImages
from llava_jax.data.records import Source
from llava_jax.data.samples import Encode
from llava_jax.data.survey import Survey, survey
from llava_jax.errors import UserError
from llava_jax.images import ImageError

SHOWN = 5  # of each kind of trouble, by name


def check(source: Source, found: Survey, *, images: int, targets: int) -> None:
    """Refuses data that a run could not learn from, or would learn wrongly.

    images, targets: how many images and learned tokens a row of the batch can hold.
    Raises UserError for data without records or without anything to learn, for records whose text
    has another number of image markers than they have images, and for records that no row can hold.
    """
    if not len(found):
        raise UserError(f"the data {source.name} holds no records")
    if not found.usable.any():
        first = next(iter(found.problems.values()))
        raise UserError(
            f"no record of {source.name} holds anything to learn: every sample would be masked. "
            f"Check that the template and the length suit the data. For one, {first}"
        )

    def refuse(wrong: np.ndarray, what: str, remedy: str) -> None:
        if wrong.any():
            place = int(wrong.argmax())
            numbers = {
                "markers": found.markers[place],
                "images": found.images[place],
                "learned": found.supervised[place],
            }
            raise UserError(
                f"{int(wrong.sum())} of {len(found)} records of {source.name} {what}. The first is "
                f"record {place} (id {source[place].id!r}), {remedy}".format(**numbers)
            )

    refuse(
        found.usable & (found.markers != found.images),
        "have another number of <image> markers than of images",
        "with {markers} for {images}: mend or remove them",
    )
    refuse(
        found.usable & (found.images > images),
        f"have more images than a row has room for, {images}",
        "with {images}: raise `images`",
    )
    refuse(
        found.supervised > targets,
        f"have more tokens to learn than a row has room for, {targets}",
        "with {learned}: raise `targets`, or set it to 0",
    )


@dataclass(frozen=True)
class Findings:
    """What `examine` saw. scanned: places of the records looked at; found: their numbers;
    bad_images: why images cannot be read, by name; pictures: images looked at.
    """

    name: str
    records: int
    scanned: list[int]
    found: Survey
    bad_images: dict[str, str]
    pictures: int

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON takes them. Lengths are in tokens, images included."""
        found, lengths = self.found, self.found.lengths[self.found.usable]
        wrong = np.flatnonzero(found.usable & (found.markers != found.images))
        nothing = np.empty(0)
        counts, edges = np.histogram(lengths, bins=8) if len(lengths) else (nothing, nothing)
        return {
            "name": self.name,
            "records": self.records,
            "scanned": len(self.scanned),
            "images": self.pictures,
            "bad_images": self.bad_images,
            "nothing_to_learn": list(found.problems.values()),
            "wrong_markers": [self.scanned[place] for place in wrong],
            "supervised_tokens": int(found.supervised.sum()),
            "length_mean": float(lengths.mean()) if len(lengths) else 0.0,
            "length_max": int(lengths.max(initial=0)),
            "length_histogram": {
                "edges": [round(float(edge)) for edge in edges],
                "counts": [int(count) for count in counts],
            },
        }

    def show(self, console: Console) -> None:
        """Prints a table."""
        report = self.to_dict()
        table = Table(title=f"{self.name}", show_header=False, title_justify="left")
        table.add_row("records", f"{self.records} ({len(self.scanned)} looked at)")
        table.add_row("images", str(self.pictures))
        bad = [f"{name}: {reason}" for name, reason in self.bad_images.items()]
        wrong = [f"record {place}" for place in report["wrong_markers"]]
        troubles: list[tuple[str, list[str]]] = [
            ("images that cannot be read", bad),
            ("records with nothing to learn", report["nothing_to_learn"]),
            ("records with a wrong number of <image> markers", wrong),
        ]
        for label, trouble in troubles:
            table.add_row(label, "\n".join([str(len(trouble)), *trouble[:SHOWN]]))
        mean, longest = report["length_mean"], report["length_max"]
        table.add_row("tokens a record", f"mean {mean:.0f}, at most {longest}")
        table.add_row("tokens to learn", str(report["supervised_tokens"]))
        edges, counts = report["length_histogram"].values()
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            bar = "#" * round(40 * count / max(counts))
            table.add_row(f"  {low} to {high} tokens", f"{count:>7} {bar}")
        console.print(table)


def examine(source: Source, encode: Encode, cap: int = 1000) -> Findings:
    """Encodes records and decodes their images, at most `cap` records spread evenly."""
    count = min(cap, len(source))
    scanned = np.linspace(0, len(source) - 1, count).astype(int).tolist()
    bad, pictures = BadImages("skip"), 0
    for place in scanned:
        for image in source[place].images:
            pictures += 1
            try:
                image.load()
            except ImageError as error:
                bad.note([error])
    found = survey(source, encode, scanned)
    return Findings(source.name, len(source), scanned, found, bad.to_dict(), pictures)
