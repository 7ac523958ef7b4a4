"""What to do with images that cannot be read: note them and go on, or stop. One policy a run."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from llava_jax.errors import UserError
from llava_jax.images import ImageError

Policy = Literal["skip", "fail"]


@dataclass
class BadImages:
    """The unreadable images met so far.

    policy: "skip" counts an image and logs it once, "fail" raises a UserError that names it.
    times: how often each was met, by name; reasons: why it could not be read.
    """

    policy: Policy = "skip"
    times: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)

    def note(self, errors: Iterable[ImageError]) -> None:
        """Applies the policy to some errors."""
        for error in errors:
            if self.policy == "fail":
                raise UserError(f"{error}. Mend or remove it, or choose on_bad_image='skip'.")
            if error.name not in self.times:
                logging.warning("%s: its sample is left out", error)
            self.times[error.name] += 1
            self.reasons[error.name] = error.reason

    def to_dict(self) -> dict[str, str]:
        """Why each could not be read, by name."""
        return dict(self.reasons)
