"""What a check found, and all that was found."""

from collections.abc import Iterable
from enum import StrEnum

from askback.contracts.records import Record


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and may not for long or for all."""
    FAIL = "fail"


class Finding(Record):
    """One line of the report."""

    level: Level
    text: str
    remedy: str = ""
    """What to do, in one line; empty where all is well."""
    check: str = ""
    """Name of the check, set by whoever runs it."""
    ours: bool = False
    """Whether the fault is the program's own, and not the machine's or its settings'."""


class Report(Record):
    """All findings, in the order of the checks."""

    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """2 when the user has something to mend, 1 when the fault is ours alone, else 0."""
        failed = [finding for finding in self.findings if finding.level is Level.FAIL]
        if any(not finding.ours for finding in failed):
            return 2
        return 1 if failed else 0

    def as_text(self) -> str:
        """One line for each finding, with what to do below it, and a last line that counts them."""
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = list(_lines(self.findings, width))
        counts = {level: sum(finding.level is level for finding in self.findings) for level in Level}
        return "\n".join([*lines, ", ".join(f"{count} {level}" for level, count in counts.items())])


def _lines(findings: Iterable[Finding], width: int) -> Iterable[str]:
    for finding in findings:
        yield f"{finding.level:<4}  {finding.check:<{width}}  {finding.text}"
        if finding.remedy:
            yield f"{'':<4}  {'':<{width}}  -> {finding.remedy}"


def ok(text: str) -> Finding:
    return Finding(level=Level.OK, text=text)


def warn(text: str, remedy: str) -> Finding:
    return Finding(level=Level.WARN, text=text, remedy=remedy)


def fail(text: str, remedy: str) -> Finding:
    return Finding(level=Level.FAIL, text=text, remedy=remedy)
