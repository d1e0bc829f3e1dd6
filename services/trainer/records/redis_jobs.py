"""Jobs in Redis, for a service and workers that share no disk: `<prefix>trainer:job:<id>` is a job's record, as JSON.

Beside each record stand its marks, `:lease`, `:starts`, `:cancel` and `:enqueued`; the sorted set `<prefix>trainer:jobs` holds the order of
submission. Logs and checkpoints stay on the disk of the worker that makes them.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from pydantic import ValidationError
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from askback.contracts.trainer import Job
from services.trainer.records.jobs import POLL_S, LockLost, checked, never_submitted
from services.trainer.records.lease import Lease

LEASE_S = 15.0
_ANSWER_S = 5.0
_RETRIES = 5  # within 2.3 s, which a restart of Redis may take and a lease outlasts

# KEYS: record, order, lease; ARGV: the record, the id, the lease's token or nothing.
_WRITE = """
if ARGV[3] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[3] then return 0 end
local now = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], 'NX', now[1] * 1000000 + now[2], ARGV[2])
return 1
"""
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisJobs:
    """A JobStore. A job is live while its lease is renewed, so a killed process is known as dead when `lease_s` are over."""

    def __init__(self, url: str, scratch: Path, prefix: str = "askback:", lease_s: float = LEASE_S) -> None:
        """`scratch` is this machine's folder of job folders. Raises InvalidInput for a `url` of another form, without repeating its password."""
        try:
            self._redis = redis.Redis.from_url(
                url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
            )
        except ValueError as error:
            raise InvalidInput("REDIS_URL: must be an address such as redis://127.0.0.1:6379/0") from error
        self._scratch, self._prefix, self.outlives_s = scratch, f"{prefix}trainer:", lease_s
        self._held: dict[str, tuple[str, Lease]] = {}

    def folder(self, job_id: str) -> Path:
        return self._scratch / checked(job_id)

    def checkpoints(self, job_id: str) -> Path:
        return self.folder(job_id) / "checkpoints"

    def find(self, job_id: str) -> Job | None:
        with _answers():
            found: Any = self._redis.get(self._key(job_id))
        return self._job(job_id, found) if found is not None else None

    def read(self, job_id: str) -> Job:
        job = self.find(job_id)
        if job is None:
            raise never_submitted(job_id)
        return job

    def write(self, job: Job) -> None:
        token, lease = self._held.get(job.id, ("", None))
        keys = (self._key(job.id), f"{self._prefix}jobs", self._key(job.id, "lease"))
        if (lease and not lease.held) or not self._script(_WRITE, keys, (job.model_dump_json(), job.id, token)):
            raise LockLost(f"job {job.id}: its lease was lost, so another worker may train it; this one writes no more")

    def all(self) -> list[Job]:
        with _answers():
            ids = [raw.decode() for raw in _many(self._redis.zrange(f"{self._prefix}jobs", 0, -1))]
            found = _many(self._redis.mget([self._key(job_id) for job_id in ids])) if ids else []
        return [self._job(job_id, raw) for job_id, raw in zip(ids, found, strict=True) if raw is not None]

    @contextmanager
    def lock(self, job_id: str, wait_s: float = 0.0) -> Iterator[bool]:
        key, token, until = self._key(job_id, "lease"), secrets.token_hex(16), time.monotonic() + wait_s
        lease = self._taken(key, token)
        while lease is None and time.monotonic() < until:
            time.sleep(POLL_S)
            lease = self._taken(key, token)
        if lease is None:
            yield False
            return
        self._held[job_id] = (token, lease)
        try:
            with lease.kept():
                yield True
        finally:
            del self._held[job_id]
            with suppress(UpstreamUnavailable):  # it ends by itself
                self._script(_RELEASE, (key,), (token,))

    def is_live(self, job_id: str) -> bool:
        return self._has(job_id, "lease")

    def starts(self, job_id: str) -> int:
        with _answers():
            count: Any = self._redis.get(self._key(job_id, "starts"))
        return int(count or 0)

    def count_start(self, job_id: str) -> None:
        with _answers():
            self._redis.incr(self._key(job_id, "starts"))

    def clear_starts(self, job_id: str) -> None:
        self._clear(job_id, "starts")

    def cancel(self, job_id: str) -> None:
        with _answers():
            self._redis.set(self._key(job_id, "cancel"), 1)

    def is_cancelled(self, job_id: str) -> bool:
        return self._has(job_id, "cancel")

    def clear_cancel(self, job_id: str) -> None:
        self._clear(job_id, "cancel")

    def mark_enqueued(self, job_id: str, for_s: float) -> None:
        with _answers():
            self._redis.set(self._key(job_id, "enqueued"), 1, px=round(for_s * 1000))

    def is_enqueued(self, job_id: str) -> bool:
        return self._has(job_id, "enqueued")

    def clear_enqueued(self, job_id: str) -> None:
        self._clear(job_id, "enqueued")

    def _key(self, job_id: str, mark: str = "") -> str:
        return f"{self._prefix}job:{checked(job_id)}" + (f":{mark}" if mark else "")

    def _job(self, job_id: str, record: bytes) -> Job:
        try:
            return Job.model_validate_json(record)
        except ValidationError as error:
            key = self._key(job_id)
            raise ServiceError(f"{key}: not a job record ({error.error_count()} errors); delete the key and submit again") from error

    def _taken(self, key: str, token: str) -> Lease | None:
        lease = Lease(lambda: bool(self._script(_RENEW, (key,), (token, self._life_ms))), self.outlives_s)  # its time runs from before the call
        with _answers():
            return lease if self._redis.set(key, token, nx=True, px=self._life_ms) else None

    @property
    def _life_ms(self) -> int:
        return round(self.outlives_s * 1000)

    def _script(self, text: str, keys: tuple[str, ...], arguments: tuple[str | int, ...]) -> Any:
        with _answers():
            return self._redis.eval(text, len(keys), *keys, *arguments)

    def _has(self, job_id: str, mark: str) -> bool:
        with _answers():
            return bool(self._redis.exists(self._key(job_id, mark)))

    def _clear(self, job_id: str, mark: str) -> None:
        with _answers():
            self._redis.delete(self._key(job_id, mark))


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise UpstreamUnavailable(f"the jobs in redis cannot be reached: {error}") from error


def _many(reply: Any) -> list[Any]:
    return list(reply)
