"""What is counted of the requests at the door and at the engine."""

from typing import Protocol


class Meters(Protocol):
    """See services.student.prometheus_metrics for the names."""

    def answered(self, route: str, status: int) -> None:
        """One request got its answer; 499 is one whose caller hung up before."""

    def first_token(self, seconds: float) -> None:
        """The first piece of a stream came `seconds` after its request."""

    def generated(self, tokens: int, seconds: float) -> None:
        """The engine wrote `tokens` in `seconds`."""

    def render(self) -> bytes:
        """Everything, as `content_type`."""
        ...

    content_type: str
