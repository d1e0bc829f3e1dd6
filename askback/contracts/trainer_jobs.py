"""What the trainer says of a job beside its record: the events of its progress, and the merge of its adapter into whole weights."""

from enum import StrEnum

from askback.contracts.records import Record
from askback.contracts.trainer import Job, JobState, LossPoint


class JobEvent(Record):
    """One server-sent event of `GET /v1/jobs/{id}/events`: the job as it is now."""

    job: Job
    """Without its `losses`."""
    losses: list[LossPoint]
    """The points since the event before."""

    @property
    def over(self) -> bool:
        """Whether the job has ended, and the events with it."""
        return self.job.state in (JobState.DONE, JobState.FAILED)


class MergeState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Merge(Record):
    """A job's adapter on its way into a copy of the base's weights."""

    job_id: str
    state: MergeState
    folder: str = ""
    """The whole model's folder relative to the run's folder, once done."""
    error: str = ""
    """One line, once failed."""
    error_kind: str = "ServiceError"
    """Name of the error's class in `contracts.errors`."""
