"""A training process that is ended from outside: by a cancel in the middle of a step, and by memory that runs out."""

import sys
import threading
import time

import pytest
from trainer_process import Bench, gone, processes_of
from trainer_rows import sft_row

from askback.contracts.trainer import JobState, Recipe, TrainRequest
from services.trainer.processes.process import supervise

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in Linux's /proc, and only Linux limits an address space"),
]

LIMITED = """
import resource, sys
import services.trainer.learning.training
from services.trainer.processes.job import main

held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**29, held + 2**29))
sys.exit(main(sys.argv[1]))
"""


class Asked:
    requested = False


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("ends"))
    bench.write_rows("many.jsonl", [sft_row(number) for number in range(2048)])
    return bench


def test_a_cancel_ends_a_job_in_the_middle_of_a_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)
    long_step = Recipe(epochs=2, lora_rank=4, batch_size=16, gradient_accumulation=128, max_length=64)
    job_id = bench.submit(TrainRequest(run_id="r1", name="cancelled", dataset="many.jsonl", recipe=long_step))
    worker = threading.Thread(target=supervise, args=(bench.store, job_id, Asked()))
    worker.start()
    bench.wait(job_id, lambda job: job.progress.total_steps > 0 or job.state is JobState.FAILED)
    time.sleep(0.5)  # into the step
    assert processes_of(job_id)
    begun = time.monotonic()
    bench.jobs.cancel(job_id)
    job = bench.wait(job_id, lambda job: job.state is JobState.FAILED, seconds=30)
    assert time.monotonic() - begun < 2
    assert gone(job_id, 5)  # the interpreter takes a second or two to put its modules away
    worker.join(10)
    assert (job.error, job.progress.step, job.progress.total_steps) == ("cancelled", 0, 2)
    assert not worker.is_alive() and not bench.store.is_live(job_id) and not bench.adapter("cancelled").exists()


def test_memory_that_runs_out_fails_the_job_with_the_next_smaller_setting(bench: Bench) -> None:
    wide = Recipe(epochs=1, lora_rank=4, batch_size=2048, max_length=64)
    job = bench.train(TrainRequest(run_id="r1", name="wide", dataset="many.jsonl", recipe=wide), "-c", LIMITED)
    assert (job.state, job.error_kind) == (JobState.FAILED, "InvalidInput"), bench.log(job.id).read_text()[-2000:]
    assert job.error.startswith("recipe.batch_size: out of memory with 2048 rows of ")
    assert job.error.endswith("; use batch_size 1024 and gradient_accumulation 2")
