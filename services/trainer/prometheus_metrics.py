"""The trainer's metrics, read from the jobs' records and the queue whenever they are asked for, since the work is done elsewhere."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from askback.contracts.errors import ServiceError
from askback.contracts.trainer import Job, JobState
from services.prometheus_metrics import QueueLength
from services.trainer.records.jobs import JobStore

log = logging.getLogger(__name__)

_GIB = 2**30


class PrometheusMetrics:
    """What the stores of jobs, by kind (`train`, `merge`), and the workers' queue are at; see docs/observability.md for the names."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, stores: Mapping[str, JobStore], queued: Callable[[], int]) -> None:
        """`queued` returns how many messages wait for a worker, and raises UpstreamUnavailable without Redis."""
        self._registry = CollectorRegistry()
        self._registry.register(_Jobs(stores))
        self._registry.register(QueueLength("trainer", queued))

    def render(self) -> bytes:
        """Everything in Prometheus's text format. Waits for disks and Redis, so call it off the event loop."""
        return generate_latest(self._registry)


class _Jobs(Collector):
    def __init__(self, stores: Mapping[str, JobStore]) -> None:
        self._stores = stores

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing, so that no job is read before the first question."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counted = GaugeMetricFamily("askback_trainer_jobs", "Jobs by kind and state", labels=["kind", "state"])
        running: list[Job] = []
        for kind, store in self._stores.items():
            try:
                jobs = store.all()
            except ServiceError as error:
                log.debug("jobs of kind %s cannot be counted: %s", kind, error)
                continue
            states = Counter(job.state for job in jobs)
            for state in JobState:
                counted.add_metric([kind, state.value], states[state])
            running += [job for job in jobs if job.state is JobState.RUNNING and kind == "train"]
        yield counted
        yield from _progress(running)


def _progress(running: Sequence[Job]) -> Iterator[GaugeMetricFamily]:
    texts: dict[str, tuple[str, Callable[[Job], float | None]]] = {
        "step": ("Steps done", lambda job: job.progress.step),
        "steps": ("Steps in all", lambda job: job.progress.total_steps),
        "loss": ("Loss of the last step", lambda job: job.progress.loss),
        "tokens_per_second": ("Tokens trained on per second", lambda job: job.progress.tokens_per_s),
        "seconds_left": ("Seconds to the last step", lambda job: job.progress.seconds_left),
        "memory_bytes": ("Most memory held so far, of the card on a GPU", lambda job: job.progress.memory_gib and job.progress.memory_gib * _GIB),
    }
    for name, (text, value_of) in texts.items():
        family = GaugeMetricFamily(f"askback_trainer_{name}", f"{text}, of each training that runs", labels=["run", "adapter"])
        for job in running:
            value = value_of(job)
            if value is not None:
                family.add_metric([job.request.run_id, job.request.name], value)
        yield family
