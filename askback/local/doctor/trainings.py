"""The trainer's workers against the card that they share."""

from askback.local.doctor.findings import Finding, ok, warn
from askback.local.doctor.probing import aside
from askback.local.doctor.surroundings import Surroundings
from askback.local.trainer_workers import doubts


async def workers(surroundings: Surroundings) -> list[Finding]:
    """Whether TRAINER_WORKERS trainings can run side by side."""
    found = await aside(lambda: doubts(surroundings.environment))
    count = surroundings.settings.trainer_workers
    return [warn(doubt.text, doubt.remedy) for doubt in found] or [
        ok(f"{count} trainer worker{'s' if count > 1 else ''}: as many trainings at a time")
    ]
