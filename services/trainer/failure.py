"""Turn what ended a training into its job's record."""

from askback.contracts.errors import ServiceError
from askback.contracts.trainer import Job, JobState


def failed(job: Job, kind: str, error: str) -> Job:
    """`job` as FAILED with the first line of `error`."""
    line = next((line.strip() for line in error.splitlines() if line.strip()), kind)
    return job.model_copy(update={"state": JobState.FAILED, "error": line, "error_kind": kind})


def failed_by(job: Job, error: Exception) -> Job:
    """`job` as FAILED by `error`, under its own kind where that is one of the contract's."""
    if isinstance(error, ServiceError):
        return failed(job, type(error).__name__, str(error))
    return failed(job, "ServiceError", f"{type(error).__name__}: {error}")
