"""The student's metrics, in a registry of their own."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.student.turns import Turns

_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKENS_PER_S = (1, 2.5, 5, 10, 25, 50, 100, 200, 400, 1000)
_QUESTIONS = (0, 1, 2)


class PrometheusMetrics:
    """Counts requests, tokens and questions; see docs/student.md for the names."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        register: dict[str, Any] = {"registry": self._registry, "namespace": "askback_student"}
        self._requests = Counter("requests", "Requests by route and status; 499: the caller hung up", ["route", "status"], **register)
        self._first = Histogram(
            "time_to_first_token_seconds", "From a request's arrival to the first piece of its stream", buckets=_FIRST_TOKEN_S, **register
        )
        self._tokens = Counter("completion_tokens", "Tokens that the engine wrote", **register)
        self._rate = Histogram("tokens_per_second", "Completion tokens of one request per second of its turn", buckets=_TOKENS_PER_S, **register)
        self._questions = Histogram("questions_per_ask", "Clarifying questions that were answered for one ask", buckets=_QUESTIONS, **register)
        self._flying = Gauge("engine_in_flight", "Requests under way at the engine", **register)
        self._queue = Gauge("engine_queue", "Requests that wait for their turn at the engine", **register)
        self._up = Gauge("engine_up", "Whether the engine answers its health route", **register)
        self._open = Gauge("engine_open", "Whether requests are let to the engine; 0 while a training has its card", **register)
        self._adapters = Gauge("adapters", "Adapters that can be asked for", **register)
        # Looking labels up costs more than counting, so what was looked up is kept.
        self._answered: dict[tuple[str, int], Counter] = {}

    def answered(self, route: str, status: int) -> None:
        """See services.student.door.meters.Meters."""
        counter = self._answered.get((route, status))
        if counter is None:
            counter = self._answered[(route, status)] = self._requests.labels(route, status)
        counter.inc()

    def first_token(self, seconds: float) -> None:
        """See services.student.door.meters.Meters."""
        self._first.observe(seconds)

    def generated(self, tokens: int, seconds: float) -> None:
        """See services.student.door.meters.Meters."""
        self._tokens.inc(tokens)
        if seconds > 0:
            self._rate.observe(tokens / seconds)

    def asked(self, questions: int) -> None:
        """One ask has had its `questions` answered."""
        self._questions.observe(questions)

    def watch(self, turns: Turns, up: Callable[[], bool], is_open: Callable[[], bool], adapters: Callable[[], int]) -> None:
        """Show, whenever asked, what the queue, the engine, its gate and the registry of adapters are at."""
        self._flying.set_function(lambda: turns.in_flight)
        self._queue.set_function(lambda: turns.waiting)
        self._up.set_function(up)
        self._open.set_function(is_open)
        self._adapters.set_function(adapters)

    def render(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
