"""What a server tells of itself to Prometheus."""

import time
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from llava_jax.inference.answers import Writing
from llava_jax.inference.scheduler import Scheduler
from llava_jax.inference.sight import Sight

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """Of one server; its memory and file descriptors are among them."""

    def __init__(self, scheduler: Scheduler, sight: Sight):
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "llava_requests", "Requests by HTTP status.", ["status"], registry=registry
        )
        self._prompt = Counter("llava_prompt_tokens", "Tokens of prompts.", registry=registry)
        self._written = Counter("llava_generated_tokens", "Tokens of answers.", registry=registry)
        self._first = Histogram(
            "llava_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._rate = Histogram(
            "llava_tokens_per_second",
            "Of each request, its first token left out.",
            buckets=_RATES,
            registry=registry,
        )
        for name, text, value in (
            ("llava_queue_length", "Answers without a slot.", lambda: scheduler.waiting),
            ("llava_active_slots", "Answers with a slot.", lambda: scheduler.active),
            ("llava_images_known", "Images found in the cache.", lambda: sight.known),
            ("llava_images_computed", "Images looked at.", lambda: sight.computed),
        ):
            Gauge(name, text, registry=registry).set_function(value)

    def text(self) -> bytes:
        """In Prometheus' exposition format."""
        return generate_latest(self._registry)

    def answered(self, arrived: float, first: float, writings: Sequence[Writing]) -> None:
        """Counts a request's answers, whole or left; times are those of `time.monotonic`."""
        written = sum(len(writing.tokens) for writing in writings)
        self._prompt.inc(len(writings[0].prompt.tokens))
        self._written.inc(written)
        self._first.observe(first - arrived)
        if written > len(writings):
            self._rate.observe((written - len(writings)) / (time.monotonic() - first))
