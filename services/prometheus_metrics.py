"""What all services count of their requests, and show of themselves: version, process, room on their volumes."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from askback import __version__
from askback.contracts.errors import UpstreamUnavailable

log = logging.getLogger(__name__)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FOLDERS = {"home": "ASKBACK_HOME", "runs": "RUNS_DIR", "jobs": "JOBS_DIR", "index": "INDEX_DIR", "adapters": "ADAPTERS_CACHE"}


class HttpMetrics:
    """Requests by route and status, in a registry of their own; see docs/observability.md for the names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """The volumes shown are those on which the folders lie that `environment` names."""
        self._registry = CollectorRegistry()
        register: dict[str, Any] = {"registry": self._registry, "namespace": "askback"}
        self._requests = Counter("http_requests", "Requests by route and status; 499: the caller hung up", ["route", "status"], **register)
        self._seconds = Histogram("http_request_seconds", "From a request to the start of its answer", ["route"], buckets=_SECONDS, **register)
        Gauge("build_info", "The version that runs", ["version"], **register).labels(__version__).set(1)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Volumes(environment))
        # Looking labels up costs more than counting, so what was looked up is kept.
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request got the start of its answer after `seconds`."""
        counter, histogram = self._known.get((route, status)) or self._label(route, status)
        counter.inc()
        histogram.observe(seconds)

    def render(self) -> bytes:
        """Everything in Prometheus's text format. Waits for the volumes, so call it off the event loop."""
        return generate_latest(self._registry)

    def _label(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._known.setdefault((route, status), (self._requests.labels(route, status), self._seconds.labels(route)))


class _Volumes(Collector):
    def __init__(self, environment: Mapping[str, str]) -> None:
        given = {name: environment.get(variable, "") for name, variable in _FOLDERS.items()}
        self._folders = {name: Path(text).absolute() for name, text in given.items() if text and "://" not in text}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        free = GaugeMetricFamily("askback_volume_free_bytes", "Room that is left on the volume of a folder", labels=["folder"])
        size = GaugeMetricFamily("askback_volume_size_bytes", "Size of the volume of a folder", labels=["folder"])
        for name, path in self._folders.items():
            there = next(folder for folder in (path, *path.parents) if folder.exists())
            usage = shutil.disk_usage(there)
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        yield from (free, size)


class QueueLength(Collector):
    """`askback_<service>_queue` and `askback_<service>_redis_up`, asked for whenever they are shown."""

    def __init__(self, service: str, queued: Callable[[], int]) -> None:
        """`queued` returns how many messages wait for a worker, and raises UpstreamUnavailable without Redis."""
        self._service, self._queued = service, queued

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing, so that Redis is not asked before the first question."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting: float | None = None
        try:
            waiting = self._queued()
        except UpstreamUnavailable as error:
            log.debug("the queue cannot be counted: %s", error)
        yield GaugeMetricFamily(f"askback_{self._service}_redis_up", "Whether Redis answers", value=waiting is not None)
        if waiting is not None:
            yield GaugeMetricFamily(f"askback_{self._service}_queue", "Messages that wait for a worker", value=waiting)
