"""The retriever's metrics, in a registry of their own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SEARCH_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BUILD_S = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200)

Sizes = Callable[[], Mapping[str, int]]
"""Returns the passages of each index by its name."""


class PrometheusMetrics:
    """Counts searches and builds, and shows the indexes' sizes; see docs/observability.md for the names."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, sizes: Sizes) -> None:
        self._registry = CollectorRegistry()
        register: dict[str, Any] = {"registry": self._registry, "namespace": "askback_retriever"}
        self._queries = Counter("queries", "Queries that were answered, by method", ["method"], **register)
        self._searching = Histogram(
            "search_seconds", "Seconds of a search, whatever its number of queries", ["method"], buckets=_SEARCH_S, **register
        )
        self._building = Histogram("build_seconds", "Seconds of a PUT of an index, an unchanged one too", buckets=_BUILD_S, **register)
        self._registry.register(_Indexes(sizes))

    def searched(self, method: str, queries: int, seconds: float) -> None:
        """One search answered `queries`."""
        self._queries.labels(method).inc(queries)
        self._searching.labels(method).observe(seconds)

    def built(self, seconds: float) -> None:
        """One index was put."""
        self._building.observe(seconds)

    def render(self) -> bytes:
        """Everything in Prometheus's text format. Waits for the disk, so call it off the event loop."""
        return generate_latest(self._registry)


class _Indexes(Collector):
    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing, so that no index is read before the first question."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("askback_retriever_passages", "Passages of an index", labels=["index"])
        for name, count in self._sizes().items():
            family.add_metric([name], count)
        yield family
