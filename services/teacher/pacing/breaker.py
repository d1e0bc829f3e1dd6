"""Circuit breaker: a backend that is down is left alone for a while, so that its callers hear so at once."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from askback.contracts.errors import UpstreamUnavailable

logger = logging.getLogger(__name__)
_PROBE_S = 1.0  # what a caller is told to wait while a probe is under way


class BreakerOpen(UpstreamUnavailable):
    """The backend is left alone for now; `retry_after_s` says how long."""


class Breaker:
    """Refuses calls to one backend after several outages in a row.

    closed       calls pass; `failures` outages in a row open it
    open         calls are refused for `cool_down_s`
    half-open    the cool-down is over: one call, the probe, passes, and its outcome closes or opens again

    Every call that passed `check` ends with exactly one of `succeeded`, `failed` and `abandoned`. What counts as an outage
    is for the caller to say: a backend that answers with a refusal is alive.
    """

    def __init__(self, name: str, failures: int = 5, cool_down_s: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._threshold = failures
        self._cool_down_s = cool_down_s
        self._now = now
        self._failures = 0
        self._retry_at: float | None = None  # None while closed
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Where it stands now; `half-open` from the end of the cool-down on, whether or not the probe has begun."""
        if self._retry_at is None:
            return "closed"
        return "open" if self._now() < self._retry_at else "half-open"

    def check(self) -> None:
        """Ask leave for a call; raises BreakerOpen while there is none."""
        if self._retry_at is None:
            return
        left_s = self._retry_at - self._now()
        if left_s > 0:
            raise self._refusal(left_s, "next try")
        if self._probing:
            raise self._refusal(_PROBE_S, "a try is under way, ask again")
        self._probing = True

    def succeeded(self) -> None:
        """The backend answered: all calls pass again."""
        self._failures = 0
        self._retry_at = None
        self._probing = False

    def failed(self) -> None:
        """An outage. Calls from before it opened end late, so that outside of a probe they do not prolong the cool-down."""
        self._failures += 1
        if self._probing or (self._retry_at is None and self._failures >= self._threshold):
            logger.warning("backend %r is down (%d failed calls in a row); it is left alone for %g s", self._name, self._failures, self._cool_down_s)
            self._retry_at = self._now() + self._cool_down_s
            self._probing = False

    def abandoned(self) -> None:
        """The call ended without telling anything of the backend, such as when cancelled: another may be the probe."""
        self._probing = False

    def _refusal(self, seconds: float, what: str) -> BreakerOpen:
        error = BreakerOpen(f"backend {self._name!r} is down ({self._failures} failed calls in a row); {what} in {seconds:.1f} s")
        error.retry_after_s = seconds
        return error
