"""What operations on whole sets see of a sample: its words and its image."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """text: all that is said. image: a file name below the image folder, "" without one."""

    id: str
    text: str = ""
    image: str = ""


def sample_of(record: Mapping[str, Any]) -> Sample:
    """Of a record of LLaVA's: all its turns, without the image marker."""
    said = "\n".join(turn["value"] for turn in record["conversations"])
    return Sample(str(record["id"]), said.replace("<image>", " "), record.get("image") or "")


def words(text: str) -> list[str]:
    """What makes two texts the same: letters and digits, without regard to case and form."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
