"""Which store the settings ask for."""

from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.jobs import JobStore
from services.trainer.records.redis_jobs import RedisJobs
from services.trainer.settings import Settings, StoreKind


def job_store(settings: Settings) -> JobStore:
    """The store of JOB_STORE; raises InvalidInput for a REDIS_URL of another form. Nothing is connected yet."""
    if settings.job_store is StoreKind.REDIS:
        return RedisJobs(settings.redis_url, settings.jobs, settings.queue_prefix)
    return FolderJobs(settings.jobs)
