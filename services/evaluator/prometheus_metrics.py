"""The evaluator's metrics, in a registry of their own."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from services.prometheus_metrics import QueueLength

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class PrometheusMetrics:
    """Counts requests, scorings and reports of the service's own process; see docs/evaluator.md for the names."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, queued: Callable[[], int]) -> None:
        """`queued` returns how many messages wait for a worker, and raises UpstreamUnavailable without Redis."""
        self._registry = CollectorRegistry()
        self._registry.register(QueueLength("evaluator", queued))
        register: dict[str, Any] = {"registry": self._registry, "namespace": "askback_evaluator"}
        self._requests = Counter("requests", "Requests by route and status", ["route", "status"], **register)
        self._queued = Counter("queued", "Scorings that went to the workers", **register)
        self._scored = Counter("scored", "Scorings made before answering, by outcome", ["outcome"], **register)
        self._scoring = Histogram("scoring_seconds", "Seconds of a scoring made before answering", buckets=_SECONDS, **register)
        self._reported = Counter("reported", "Reports by outcome", ["outcome"], **register)
        self._reporting = Histogram("report_seconds", "Seconds of a report, its wait for others included", buckets=_SECONDS, **register)

    def answered(self, route: str, status: int) -> None:
        """See services.evaluator.door.Counts."""
        self._requests.labels(route, status).inc()

    def queued(self) -> None:
        """See services.evaluator.jobs.Meters."""
        self._queued.inc()

    def scored(self, outcome: str, seconds: float) -> None:
        """See services.evaluator.jobs.Meters."""
        self._scored.labels(outcome).inc()
        self._scoring.observe(seconds)

    def reported(self, outcome: str, seconds: float) -> None:
        """See services.evaluator.reports.ReportMeters."""
        self._reported.labels(outcome).inc()
        self._reporting.observe(seconds)

    def render(self) -> bytes:
        """Everything in Prometheus's text format. Waits for Redis, so call it off the event loop."""
        return generate_latest(self._registry)
