"""The teacher's metrics, in a registry of their own."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.teacher.core import Answer
from services.teacher.money.budget import Budget
from services.teacher.pacing.breaker import Breaker
from services.teacher.pacing.pace import Pace

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_STATES = {"closed": 0, "half-open": 1, "open": 2}


class PrometheusMetrics:
    """Counts requests, money and tries; see docs/teacher.md for the names."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        register: dict[str, Any] = {"registry": self._registry, "namespace": "askback_teacher"}
        self._requests = Counter("requests", "Answered requests by backend and cache outcome", ["backend", "cache"], **register)
        self._refusals = Counter("refusals", "Requests answered with an error, by its class", ["error"], **register)
        self._saved = Counter("saved_usd", "Dollars that cached answers had cost when they were bought", ["backend"], **register)
        self._tries = Counter("upstream_tries", "Tries at an upstream by HTTP status, `lost` or `not_sent`", ["backend", "outcome"], **register)
        self._seconds = Histogram("upstream_seconds", "Seconds of a try at an upstream", ["backend"], buckets=_SECONDS, **register)
        self._tokens = Counter("tokens", "Tokens paid for", ["backend", "kind"], **register)
        self._dollars = Counter("booked_usd", "Dollars booked", ["backend"], **register)
        self._queue = Gauge("queue", "Requests that wait for their turn at an upstream", ["backend"], **register)
        self._flying = Gauge("upstream_in_flight", "Requests under way at an upstream", ["backend"], **register)
        self._limit = Gauge("upstream_concurrency_limit", "Requests that may be under way at an upstream", ["backend"], **register)
        self._breaker = Gauge("breaker", "State of an upstream's breaker: 0 closed, 1 half-open, 2 open", ["backend"], **register)
        self._spent = Gauge("spent_usd", "Dollars spent in all", **register)
        self._reserved = Gauge("reserved_usd", "Dollars reserved for calls under way", **register)
        self._budget = Gauge("budget_usd", "Dollars that may be spent in all; +Inf without a limit", **register)

        # Looking labels up costs more than counting, so what was looked up is kept.
        self._answered: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self._tried: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._booked: dict[str, tuple[Counter, Counter, Counter]] = {}

    def answered(self, answer: Answer) -> None:
        """One request got its answer."""
        requests, saved = self._answered.get((answer.backend, answer.cache)) or self._label_answer(answer.backend, answer.cache)
        requests.inc()
        if answer.cache == "hit" and answer.completion is not None and answer.completion.cost_usd:
            saved.inc(answer.completion.cost_usd)

    def refused(self, kind: str) -> None:
        """One request was answered with an error of this class."""
        self._refusals.labels(kind).inc()

    def tried(self, backend: str, outcome: str, seconds: float) -> None:
        """See services.teacher.upstream.lane.Meters."""
        tries, taken = self._tried.get((backend, outcome)) or self._label_try(backend, outcome)
        tries.inc()
        taken.observe(seconds)

    def booked(self, backend: str, prompt_tokens: int, completion_tokens: int, usd: float) -> None:
        """See services.teacher.upstream.lane.Meters."""
        prompts, completions, dollars = self._booked.get(backend) or self._label_booking(backend)
        prompts.inc(prompt_tokens)
        completions.inc(completion_tokens)
        dollars.inc(usd)

    def watch_upstream(self, backend: str, pace: Pace, breaker: Breaker) -> None:
        """Show, whenever asked, what an upstream's pace and breaker are at."""
        self._queue.labels(backend).set_function(lambda: pace.waiting)
        self._flying.labels(backend).set_function(lambda: pace.in_flight)
        self._limit.labels(backend).set_function(lambda: pace.limit)
        self._breaker.labels(backend).set_function(lambda: _STATES[breaker.state])

    def watch_budget(self, budget: Budget) -> None:
        """Show what is spent and reserved, and of how much."""
        self._spent.set_function(lambda: budget.spent_usd)
        self._reserved.set_function(lambda: budget.reserved_usd)
        self._budget.set_function(lambda: budget.limit_usd)

    def _label_answer(self, backend: str, cache: str) -> tuple[Counter, Counter]:
        return self._answered.setdefault((backend, cache), (self._requests.labels(backend, cache), self._saved.labels(backend)))

    def _label_try(self, backend: str, outcome: str) -> tuple[Counter, Histogram]:
        return self._tried.setdefault((backend, outcome), (self._tries.labels(backend, outcome), self._seconds.labels(backend)))

    def _label_booking(self, backend: str) -> tuple[Counter, Counter, Counter]:
        prompts, completions = (self._tokens.labels(backend, kind) for kind in ("prompt", "completion"))
        return self._booked.setdefault(backend, (prompts, completions, self._dollars.labels(backend)))

    def render(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
