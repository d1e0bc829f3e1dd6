"""What every store of jobs does alike, and what a lease in Redis adds: it ends without its holder, and a holder that lost it writes no more."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput, NotFound, ServiceError, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, TrainRequest
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore, LockLost
from services.trainer.records.lease import Lease
from services.trainer.records.redis_jobs import RedisJobs
from services.trainer.settings import Settings, StoreKind

JOB = Job(id="0123456789abcdef", state=JobState.QUEUED, request=TrainRequest(run_id="r1", name="n", dataset="a.jsonl"))
HOLDER = """
import sys
from pathlib import Path
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.redis_jobs import RedisJobs
with {store}.lock({job!r}) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


def until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def there(store: JobStore, redis_url: str) -> str:
    """The store as another process writes it down."""
    if isinstance(store, RedisJobs):
        return f"RedisJobs({redis_url!r}, Path({str(store.folder(JOB.id).parent)!r}), {store._prefix.removesuffix('trainer:')!r}, {store.outlives_s})"
    return f"FolderJobs(Path({str(store.folder(JOB.id).parent)!r}))"


def holder(store: JobStore, redis_url: str) -> "subprocess.Popen[bytes]":
    code = HOLDER.format(store=there(store, redis_url), job=JOB.id)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def answer(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_record_is_read_back_and_an_unknown_one_is_not_found(store: JobStore) -> None:
    assert store.find(JOB.id) is None
    with pytest.raises(NotFound, match="submit it first"):
        store.read(JOB.id)
    store.write(JOB)
    running = JOB.model_copy(update={"state": JobState.RUNNING})
    store.write(running)
    assert store.read(JOB.id) == store.find(JOB.id) == running


@pytest.mark.parametrize("job_id", ["0123456789ABCDEF", "../0123456789abc", "", "0" * 17])
def test_what_cannot_be_an_id_is_not_found(store: JobStore, job_id: str) -> None:
    for ask in (store.find, store.folder, store.is_live, store.is_cancelled, store.starts):
        with pytest.raises(NotFound, match="16 hexadecimal digits"):
            ask(job_id)


def test_jobs_are_listed_in_the_order_of_their_first_submission(store: JobStore) -> None:
    ids = [digit * 16 for digit in "c1a0"]
    for job_id in [*ids, ids[0]]:
        with store.lock(job_id):
            store.write(JOB.model_copy(update={"id": job_id}))
        time.sleep(0.002)
    assert [job.id for job in store.all()] == ids


def test_marks_are_set_and_taken_back(store: JobStore) -> None:
    store.write(JOB)
    assert (store.starts(JOB.id), store.is_cancelled(JOB.id), store.is_enqueued(JOB.id)) == (0, False, False)
    store.count_start(JOB.id)
    store.count_start(JOB.id)
    store.cancel(JOB.id)
    store.mark_enqueued(JOB.id, 60)
    assert (store.starts(JOB.id), store.is_cancelled(JOB.id), store.is_enqueued(JOB.id)) == (2, True, True)
    store.clear_starts(JOB.id)
    store.clear_cancel(JOB.id)
    store.clear_enqueued(JOB.id)
    assert (store.starts(JOB.id), store.is_cancelled(JOB.id), store.is_enqueued(JOB.id)) == (0, False, False)
    store.mark_enqueued(JOB.id, 0.05)
    assert store.is_enqueued(JOB.id) and until(lambda: not store.is_enqueued(JOB.id))


def test_one_holds_the_lock_and_the_next_waits_for_it(store: JobStore) -> None:
    with store.lock(JOB.id) as first:
        assert first and store.is_live(JOB.id)
        with store.lock(JOB.id) as second:
            assert not second
        assert store.is_live(JOB.id)
    with store.lock(JOB.id) as third:
        assert third
    assert not store.is_live(JOB.id)


def test_a_lock_is_held_for_longer_than_a_lease_lives(store: JobStore) -> None:
    store.write(JOB)
    with store.lock(JOB.id):
        time.sleep(1.2)
        assert store.is_live(JOB.id)
        store.write(JOB)


def test_the_lock_of_a_killed_process_is_free_soon(store: JobStore, redis_url: str) -> None:
    process = holder(store, redis_url)
    assert answer(process) == b"True"
    assert store.is_live(JOB.id)
    process.kill()
    process.communicate()
    begun = time.monotonic()
    with store.lock(JOB.id, store.outlives_s + 1) as held:
        assert held
    assert time.monotonic() - begun <= store.outlives_s + 0.5


def test_of_two_processes_that_race_one_gets_the_lock(store: JobStore, redis_url: str) -> None:
    racers = [holder(store, redis_url) for _ in range(2)]
    assert sorted(answer(racer) for racer in racers) == [b"False", b"True"]
    for racer in racers:
        racer.communicate()
    assert not store.is_live(JOB.id)


@pytest.fixture
def jobs(redis_url: str, tmp_path: Path) -> RedisJobs:
    return RedisJobs(redis_url, tmp_path, prefix=f"{tmp_path.name}:", lease_s=0.5)


def test_a_holder_whose_lease_was_taken_over_writes_no_more(jobs: RedisJobs, redis_url: str, tmp_path: Path) -> None:
    other = RedisJobs(redis_url, tmp_path, prefix=f"{tmp_path.name}:")
    with jobs.lock(JOB.id):
        jobs.write(JOB)
        jobs._redis.delete(f"{tmp_path.name}:trainer:job:{JOB.id}:lease")
        with other.lock(JOB.id) as taken_over:
            assert taken_over
            other.write(JOB.model_copy(update={"state": JobState.RUNNING}))
            with pytest.raises(LockLost, match="its lease was lost"):
                jobs.write(JOB.model_copy(update={"state": JobState.DONE}))
    assert other.read(JOB.id).state is JobState.RUNNING


def test_a_holder_that_lost_its_lease_does_not_release_the_next_ones(jobs: RedisJobs, redis_url: str, tmp_path: Path) -> None:
    other = RedisJobs(redis_url, tmp_path, prefix=f"{tmp_path.name}:")
    lost = jobs.lock(JOB.id)
    assert lost.__enter__()
    jobs._redis.delete(f"{tmp_path.name}:trainer:job:{JOB.id}:lease")
    with other.lock(JOB.id):
        lost.__exit__(None, None, None)
        assert other.is_live(JOB.id)
        other.write(JOB)


def test_a_lease_that_could_not_be_renewed_in_time_is_lost_for_good() -> None:
    now = [0.0]

    def away() -> bool:
        raise UpstreamUnavailable("redis")

    lease = Lease(away, 0.3, clock=lambda: now[0])
    with lease.kept():
        time.sleep(0.25)
        assert lease.held
        now[0] = 0.3
        assert not lease.held
        now[0] = 0.1
        assert not lease.held


def test_a_record_that_is_none_is_told_by_its_key(jobs: RedisJobs, tmp_path: Path) -> None:
    jobs.write(JOB)
    jobs._redis.set(f"{tmp_path.name}:trainer:job:{JOB.id}", "{}")
    with pytest.raises(ServiceError, match=rf"{tmp_path.name}:trainer:job:{JOB.id}: not a job record .* delete the key"):
        jobs.all()


def test_redis_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnavailable, match="the jobs in redis cannot be reached") as said:
        RedisJobs("redis://:secret@127.0.0.1:1/0", tmp_path).find(JOB.id)
    assert "secret" not in str(said.value)


def test_the_settings_choose_the_store(settings: Settings) -> None:
    there = Settings(settings.runs, settings.jobs, "", "redis://127.0.0.1:1/0", job_store=StoreKind.REDIS)
    assert isinstance(job_store(there), RedisJobs)
    assert not isinstance(job_store(settings), RedisJobs)
    with pytest.raises(InvalidInput, match="REDIS_URL: must be an address") as said:
        job_store(Settings(settings.runs, settings.jobs, "", "http://:secret@x", job_store=StoreKind.REDIS))
    assert "secret" not in str(said.value)


def test_jobs_of_another_prefix_are_not_seen(redis_url: str, tmp_path: Path) -> None:
    RedisJobs(redis_url, tmp_path, prefix=f"{tmp_path.name}-one:").write(JOB)
    assert RedisJobs(redis_url, tmp_path, prefix=f"{tmp_path.name}-two:").all() == []
