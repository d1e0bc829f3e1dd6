"""What keeps the stack from working on this machine, and what to do about it."""

from askback.local.doctor.examination import examine
from askback.local.doctor.findings import Finding, Level, Report
from askback.local.doctor.surroundings import Surroundings

__all__ = ["Finding", "Level", "Report", "Surroundings", "examine"]
