"""One job in two processes that share its rows, on the CPU: what it learns, what it says, and what is left of it when it is killed."""

import signal
import sys
from pathlib import Path

import pytest
from trainer_process import Bench, gone, losses, processes_of
from trainer_rows import sft_row
from trainer_stack import redis

from askback.contracts.trainer import Job, JobState, Recipe, TrainRequest
from services.trainer.processes.process import LOCK_LOST

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in Linux's /proc"),
]

RECIPE = Recipe(epochs=3, learning_rate=5e-3, lora_rank=4, batch_size=4, max_length=64)
TWO = TrainRequest(run_id="r1", name="two", dataset="sft.jsonl", recipe=RECIPE.model_copy(update={"gpus": 2}), seed=3)
LONG = TWO.model_copy(update={"name": "long", "recipe": TWO.recipe.model_copy(update={"epochs": 2000})})
ROUNDING = 5e-3  # of bf16, which adds up in another order
WORKER = """
import sys
from services.trainer.records.job_stores import job_store
from services.trainer.processes.process import supervise
from services.trainer.settings import Settings

class Asked:
    requested = False

supervise(job_store(Settings.from_environment()), sys.argv[1], Asked())
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("two"))


def begun(job: Job) -> bool:
    assert job.state is not JobState.FAILED, job.error
    return job.progress.step >= 2


def test_two_processes_learn_what_one_does(bench: Bench) -> None:
    one = bench.train(TWO.model_copy(update={"name": "one", "recipe": RECIPE}))
    two = bench.train(TWO)
    log = bench.log(two.id).read_text()
    assert (one.state, two.state, two.error) == (JobState.DONE, JobState.DONE, ""), log[-3000:]
    assert [point.step for point in two.losses] == list(range(1, 19))  # 24 rows in steps of 4, three times, and not of 2
    assert losses(two) == pytest.approx(losses(one), rel=ROUNDING)
    assert (two.progress.step, two.progress.total_steps, two.adapter) == (18, 18, "adapters/two")
    record = bench.manifest("two")
    assert (record["job_id"], len(record["losses"]), record["fit"]) == (two.id, 18, None)
    assert record["metrics"]["tokens"] == bench.manifest("one")["metrics"]["tokens"]
    assert not list(bench.run_folder.glob("adapters/.*")) and not bench.store.checkpoints(two.id).exists()
    assert gone(two.id, 5)


def test_rows_that_lose_their_end_fail_both_processes_with_one_line(bench: Bench) -> None:
    long = {**sft_row(1), "completion": [{"role": "assistant", "content": "yes " * 80}]}
    bench.write_rows("poisoned.jsonl", [*(sft_row(number) for number in range(7)), long])
    job = bench.train(TWO.model_copy(update={"name": "poisoned", "dataset": "poisoned.jsonl"}))
    assert (job.state, job.error_kind) == (JobState.FAILED, "InvalidInput")
    assert job.error.startswith("recipe.max_length: at 64 tokens 1 of 8 rows lose the end of a reply (line 8); raise max_length to ")
    assert gone(job.id, 5) and not bench.adapter("poisoned").exists()


def test_a_killed_worker_leaves_no_process_of_the_job(bench: Bench) -> None:
    job_id = bench.submit(LONG)
    worker = bench.start(job_id, "-c", WORKER)
    try:
        running = bench.wait(job_id, begun)
        assert running.state is JobState.RUNNING and len(processes_of(job_id)) >= 5  # worker, training process, launcher, two of the job
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert gone(job_id, 10), processes_of(job_id)
    finally:
        worker.kill()
    assert bench.store.read(job_id).state is JobState.RUNNING and not bench.store.is_live(job_id)


def test_a_lost_lease_ends_the_processes_and_leaves_the_record_to_its_new_holder(tmp_path: Path) -> None:
    from redis import Redis

    with redis() as url:
        bench = Bench(tmp_path, JOB_STORE="redis", REDIS_URL=url)
        job_id = bench.submit(LONG)
        process = bench.start(job_id)
        try:
            bench.wait(job_id, begun)
            (lease,) = Redis.from_url(url).keys(f"*{job_id}:lease")
            Redis.from_url(url).set(lease, "another worker's")
            assert process.wait(10) == LOCK_LOST
        finally:
            process.kill()
        assert gone(job_id, 5), processes_of(job_id)
        job = bench.store.read(job_id)
        assert (job.state, job.error) == (JobState.RUNNING, "")
