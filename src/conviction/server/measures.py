"""What Prometheus reads at ``/metrics``, over all workers."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Where workers leave their figures for one another; prometheus_client reads it when it is imported.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Measures:
    """The figures of one worker; there is one in a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "conviction_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "conviction_request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "conviction_batch_images",
            "Images that the network got at once.",
            buckets=_IMAGES,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "conviction_queue_images",
            "Images that are being decoded or wait for the network.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, images: int) -> None:
        """Counts a batch."""
        self._batches.observe(images)

    def waiting(self, images: int) -> None:
        """How many images wait now."""
        self._waiting.set(images)

    def text(self) -> bytes:
        """In the text format of Prometheus."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
