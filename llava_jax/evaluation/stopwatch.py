"""What both sides of an efficiency measurement share: the task, its images, time and memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import psutil
from PIL import Image

ROWS = 8  # answers at a time
NEW_TOKENS = 32  # of every answer
ALONE = 3  # questions asked alone, for the time to the first token
_SIDE = 448  # pixels of an image
_EVERY = 0.01  # seconds between looks at the memory


@dataclass(frozen=True)
class Task:
    """A prompt with its image's places, as both sides read it. dtype: of the computation."""

    tokens: list[int]
    at_image: list[bool]
    dtype: str


@dataclass(frozen=True)
class Speed:
    """What one side takes. first_token: seconds. peak_bytes: of memory."""

    runs_in: str
    device: str
    dtype: str
    first_token: float
    tokens_per_second: float
    images_per_second: float
    peak_bytes: int


def pictures() -> list[Image.Image]:
    """Images of noise, all different: to warm up, alone, to answer about, to look at."""
    rng = np.random.default_rng(0)
    shape = (3 * ROWS + ALONE, _SIDE, _SIDE, 3)
    return [Image.fromarray(pixels) for pixels in rng.integers(0, 256, shape, np.uint8)]


@dataclass
class Stopwatch:
    """Seconds by what they were spent on, and the largest size of this process."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_bytes: int = 0

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds.setdefault(what, []).append(time.perf_counter() - start)

    def speed(self, runs_in: str, device: str, dtype: str, peak_bytes: int) -> Speed:
        """From "first token" (each alone), "answers" and "images" (ROWS together)."""
        (answers,), (images,) = self.seconds["answers"], self.seconds["images"]
        first = median(self.seconds["first token"])
        speeds = (first, ROWS * NEW_TOKENS / answers, ROWS / images)
        return Speed(runs_in, device, dtype, *speeds, peak_bytes)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Watches the memory meanwhile."""
    watch, ended, process = Stopwatch(), threading.Event(), psutil.Process()

    def look() -> None:
        while not ended.wait(_EVERY):
            watch.peak_bytes = max(watch.peak_bytes, process.memory_info().rss)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield watch
    finally:
        ended.set()
        looking.join()
