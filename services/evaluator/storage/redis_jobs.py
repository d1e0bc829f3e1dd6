"""Where a scoring job stands, kept in Redis under `evaluator:job:<id>` as the JSON of its ScoreJob.

Celery's own result store cannot tell an unknown id from a waiting one, so each job is written here before it is queued.
"""

import redis

from askback.contracts.errors import NotFound, UpstreamUnavailable
from askback.contracts.evaluator import ScoreJob

_KEPT_S = 7 * 24 * 3600
_ANSWER_S = 5.0


class RedisJobs:
    """Raises UpstreamUnavailable when Redis does not answer."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)

    def write(self, job: ScoreJob) -> None:
        """Replace the job's record; it is kept for a week."""
        try:
            self._redis.set(_key(job.id), job.model_dump_json(), ex=_KEPT_S)
        except redis.RedisError as error:
            raise UpstreamUnavailable(f"redis cannot be reached: {error}") from error

    def read(self, job_id: str) -> ScoreJob:
        """Raises NotFound for an id that was never submitted, or whose record has expired."""
        try:
            found = self._redis.get(_key(job_id))
        except redis.RedisError as error:
            raise UpstreamUnavailable(f"redis cannot be reached: {error}") from error
        if not isinstance(found, bytes):
            raise NotFound(f"scoring job {job_id!r}: no such id; submit the run again")
        return ScoreJob.model_validate_json(found)

    def missing(self) -> str:
        """Empty when Redis answers, else what is wrong."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            return f"redis cannot be reached: {error}"
        return ""

    def close(self) -> None:
        self._redis.close()


def _key(job_id: str) -> str:
    return f"evaluator:job:{job_id}"
