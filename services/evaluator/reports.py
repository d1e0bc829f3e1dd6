"""Reports, written one at a time: the libraries that draw them are not made for threads."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from askback.contracts.errors import ServiceError
from askback.contracts.evaluator import ReportResponse
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.run_turn import alone
from services.evaluator.storage.runs import Runs

Publish = Callable[[RunFolder], list[str]]
"""Writes a run's report and returns its files, relative to the run's folder."""


class ReportMeters(Protocol):
    """What is counted of the reports."""

    def reported(self, outcome: str, seconds: float) -> None:
        """A report was asked for; `outcome` is `done` or an error's class."""
        ...


class Reports:
    """Publishes runs."""

    def __init__(self, runs: Runs, publish: Publish, meters: ReportMeters) -> None:
        self._runs, self._publish, self._meters = runs, publish, meters
        self._desk = threading.Lock()

    def write(self, run_id: str) -> ReportResponse:
        """Write the run's report, while nobody scores it; raises NotFound, or Conflict when it has no scores of its present predictions."""
        run = self._runs.open(run_id)
        began, outcome = time.monotonic(), "ServiceError"
        try:
            with self._desk, alone(run):
                files = self._publish(run)
            outcome = "done"
        except ServiceError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._meters.reported(outcome, time.monotonic() - began)
        return ReportResponse(files=files)
