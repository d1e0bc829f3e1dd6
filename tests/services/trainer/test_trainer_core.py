import json
import time
from pathlib import Path

import pytest
from trainer_rows import Writer, dpo_row, sft_row

from askback.contracts.errors import Conflict, InvalidInput, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, Method, Recipe, TrainRequest
from services.trainer.core import MOST_DEATHS, Jobs
from services.trainer.records.jobs import JobStore
from services.trainer.settings import Settings


@pytest.fixture
def jobs(settings: Settings, store: JobStore) -> Jobs:
    return Jobs(settings, store)


@pytest.fixture
def request_a(write_rows: Writer) -> TrainRequest:
    return TrainRequest(run_id="r1", name="direct-1", dataset=write_rows([sft_row(1)]))


def make_adapter(folder: Path, base: str = "/models/base", weights: bytes = b"w", job_id: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    if job_id:
        (folder / "training.json").write_text(json.dumps({"job_id": job_id}))


def test_the_same_request_is_the_same_job_and_any_change_another(jobs: Jobs, request_a: TrainRequest, write_rows: Writer, settings: Settings) -> None:
    queue: list[str] = []
    first = jobs.submit(request_a, queue.append)
    assert (first.state, len(first.id), queue) == (JobState.QUEUED, 16, [first.id])
    assert jobs.submit(request_a, queue.append).id == first.id
    ids = {first.id}
    ids.add(jobs.submit(request_a.model_copy(update={"seed": 1}), queue.append).id)
    ids.add(jobs.submit(request_a.model_copy(update={"recipe": Recipe(epochs=1)}), queue.append).id)
    other_base = Settings(settings.runs, settings.jobs, "/models/other", settings.redis_url)
    ids.add(Jobs(other_base, jobs.store).submit(request_a, queue.append).id)
    write_rows([sft_row(2)])
    ids.add(jobs.submit(request_a, queue.append).id)
    assert len(ids) == 5
    assert jobs.store.all()[0].id == first.id


def test_a_job_id_follows_the_weights_that_dpo_starts_from(jobs: Jobs, settings: Settings, write_rows: Writer) -> None:
    request = TrainRequest(run_id="r1", name="p", method=Method.DPO, dataset=write_rows([dpo_row(1)]), init_adapter="adapters/direct-1")
    with pytest.raises(InvalidInput, match="init_adapter: adapters/direct-1: no adapter there"):
        jobs.submit(request, list[str]().append)
    make_adapter(settings.runs / "r1" / "adapters" / "direct-1")
    before = jobs.submit(request, list[str]().append).id
    make_adapter(settings.runs / "r1" / "adapters" / "direct-1", weights=b"retrained")
    assert jobs.submit(request, list[str]().append).id != before
    make_adapter(settings.runs / "r1" / "adapters" / "direct-1", base="/models/other")
    with pytest.raises(InvalidInput, match="was trained on '/models/other'"):
        jobs.submit(request, list[str]().append)


@pytest.mark.parametrize("dataset", ["../r2/a.jsonl", "/etc/passwd", "tracks/../../r2/a.jsonl", "link.jsonl", "a\0b"])
def test_paths_that_leave_the_run_are_refused(jobs: Jobs, settings: Settings, dataset: str) -> None:
    (settings.runs / "r2" / "a.jsonl").write_text(json.dumps(sft_row(1)))
    (settings.runs / "r1" / "link.jsonl").symlink_to(settings.runs / "r2" / "a.jsonl")
    with pytest.raises(InvalidInput, match=r"dataset: .* lies outside the run's folder"):
        jobs.submit(TrainRequest(run_id="r1", name="n", dataset=dataset), list[str]().append)
    assert jobs.store.all() == []


def test_a_running_job_is_left_alone_and_a_dead_one_enqueued_again(jobs: Jobs, request_a: TrainRequest) -> None:
    job_id = jobs.submit(request_a, list[str]().append).id
    jobs.store.write(jobs.store.read(job_id).model_copy(update={"state": JobState.RUNNING}))
    queue: list[str] = []
    with jobs.store.lock(job_id) as held:
        assert held
        assert jobs.submit(request_a, queue.append).state is JobState.RUNNING
        assert jobs.recover(queue.append) == queue == []
    assert jobs.submit(request_a, queue.append).state is JobState.QUEUED
    assert queue == [job_id]


def test_a_failed_job_is_queued_again_with_a_clean_record(jobs: Jobs, request_a: TrainRequest) -> None:
    queue: list[str] = []
    job = jobs.submit(request_a, queue.append)
    jobs.store.write(job.model_copy(update={"state": JobState.FAILED, "error": "boom"}))
    again = jobs.submit(request_a, queue.append)
    assert (again.state, again.error, queue) == (JobState.QUEUED, "", [job.id, job.id])


def test_an_adapter_that_is_there_is_the_job_done_and_for_another_job_a_conflict(jobs: Jobs, request_a: TrainRequest, settings: Settings) -> None:
    queue: list[str] = []
    job_id = jobs.submit(request_a, queue.append).id
    make_adapter(settings.runs / "r1" / "adapters" / "direct-1", job_id=job_id)
    done = jobs.submit(request_a, queue.append)
    assert (done.state, done.adapter, queue) == (JobState.DONE, "adapters/direct-1", [job_id])
    with pytest.raises(Conflict, match=f"holds the adapter of job {job_id}"):
        jobs.submit(request_a.model_copy(update={"seed": 5}), queue.append)
    (settings.runs / "r1" / "adapters" / "direct-1" / "training.json").unlink()
    with pytest.raises(Conflict, match="no job of this trainer"):
        jobs.submit(request_a, queue.append)


def test_a_done_job_whose_adapter_was_removed_is_trained_again(jobs: Jobs, request_a: TrainRequest) -> None:
    queue: list[str] = []
    job = jobs.submit(request_a, queue.append)
    jobs.store.write(job.model_copy(update={"state": JobState.DONE}))
    assert jobs.submit(request_a, queue.append).state is JobState.QUEUED


def test_recovery_enqueues_what_waits_or_ran_in_the_order_of_submission(jobs: Jobs, request_a: TrainRequest) -> None:
    made = [jobs.submit(request_a.model_copy(update={"seed": seed}), list[str]().append) for seed in range(4)]
    jobs.store.clear_enqueued(made[1].id)
    for job, state in zip(made, (JobState.RUNNING, JobState.QUEUED, JobState.DONE, JobState.FAILED), strict=True):
        jobs.store.write(job.model_copy(update={"state": state}))
    queue: list[str] = []
    assert jobs.recover(queue.append) == queue == [made[0].id, made[1].id]


def test_a_job_that_keeps_killing_its_worker_fails_instead_of_looping(jobs: Jobs, request_a: TrainRequest) -> None:
    job = jobs.submit(request_a, list[str]().append)
    jobs.store.write(job.model_copy(update={"state": JobState.RUNNING}))
    for _ in range(MOST_DEATHS):
        jobs.store.count_start(job.id)
    queue: list[str] = []
    assert jobs.recover(queue.append) == queue == []
    assert "its worker died twice during this job" in jobs.store.read(job.id).error
    jobs.submit(request_a, queue.append)
    assert (queue, jobs.store.starts(job.id)) == ([job.id], 0)


def test_cancel_ends_a_waiting_job_at_once_and_flags_a_running_one(jobs: Jobs, request_a: TrainRequest) -> None:
    job: Job = jobs.submit(request_a, list[str]().append)
    assert (jobs.cancel(job.id).state, jobs.store.read(job.id).error) == (JobState.FAILED, "cancelled")
    with pytest.raises(Conflict, match="is failed and cannot be cancelled"):
        jobs.cancel(job.id)
    jobs.submit(request_a, list[str]().append)
    assert not jobs.store.is_cancelled(job.id)
    with jobs.store.lock(job.id):
        assert jobs.cancel(job.id).state is JobState.QUEUED
    assert jobs.store.is_cancelled(job.id)


def test_the_first_death_of_a_worker_is_retried_and_the_second_is_not(jobs: Jobs, request_a: TrainRequest) -> None:
    job_id = jobs.submit(request_a, list[str]().append).id
    queue: list[str] = []
    for deaths in (1, 2):
        jobs.store.count_start(job_id)
        jobs.store.write(jobs.store.read(job_id).model_copy(update={"state": JobState.RUNNING}))
        jobs.recover(queue.append)
        assert queue == [job_id], deaths
    assert jobs.store.read(job_id).state is JobState.FAILED


def test_a_job_that_waits_on_the_queue_is_not_enqueued_again_until_its_message_is_no_more_believed_in(jobs: Jobs, request_a: TrainRequest) -> None:
    queue: list[str] = []
    job_id = jobs.submit(request_a, queue.append).id
    for _ in range(3):
        jobs.recover(queue.append)
    assert queue == [job_id]
    jobs.store.mark_enqueued(job_id, 0.001)
    time.sleep(0.01)
    assert jobs.recover(queue.append) == [job_id]
    assert jobs.recover(queue.append) == []


def test_a_dead_workers_job_is_enqueued_once_and_not_at_every_look(jobs: Jobs, request_a: TrainRequest) -> None:
    job_id = jobs.submit(request_a, list[str]().append).id
    jobs.store.write(jobs.store.read(job_id).model_copy(update={"state": JobState.RUNNING}))
    assert [jobs.recover(list[str]().append) for _ in range(3)] == [[job_id], [], []]
    assert jobs.store.read(job_id).state is JobState.QUEUED


def test_a_message_that_was_refused_is_sent_at_the_next_look(jobs: Jobs, request_a: TrainRequest) -> None:
    def refuse(_: str) -> None:
        raise UpstreamUnavailable("redis cannot be reached")

    with pytest.raises(UpstreamUnavailable):
        jobs.submit(request_a, refuse)
    with pytest.raises(UpstreamUnavailable):
        jobs.recover(refuse)
    assert len(jobs.recover(list[str]().append)) == 1


def test_a_job_whose_worker_died_before_it_could_cancel_it_is_cancelled_by_recovery(jobs: Jobs, request_a: TrainRequest) -> None:
    job_id = jobs.submit(request_a, list[str]().append).id
    jobs.store.cancel(job_id)
    assert jobs.recover(list[str]().append) == []
    assert (jobs.store.read(job_id).error, jobs.store.is_cancelled(job_id)) == ("cancelled", False)
