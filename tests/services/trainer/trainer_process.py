"""Jobs of a tiny model through the training process alone, without a queue and a worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer_rows import dpo_row, sft_row
from trainer_stack import make_tiny_model

from askback.contracts.trainer import Job, TrainRequest
from services.trainer.core import Jobs
from services.trainer.records.job_stores import job_store
from services.trainer.settings import Settings

ROOT = Path(__file__).parents[3]


class Bench:
    """One run `r1` with `rows` rows in sft.jsonl and dpo.jsonl, its jobs, and training processes started by hand."""

    def __init__(self, root: Path, base: Path | None = None, rows: int = 24, **more: str) -> None:
        """`base` is the base model, else a tiny one is made; `more` goes into the environment of the processes."""
        self.run_folder = root / "runs" / "r1"
        self.run_folder.mkdir(parents=True)
        for name, row in (("sft", sft_row), ("dpo", dpo_row)):
            self.write_rows(f"{name}.jsonl", [row(number) for number in range(rows)])
        if base is None:
            base = root / "base"
            make_tiny_model(base, [str(sft_row(number)) for number in range(24)])
        own = {"RUNS_DIR": str(root / "runs"), "JOBS_DIR": str(root / "jobs"), "BASE_MODEL": str(base), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.environment = {**os.environ, **own, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **more}
        self.settings = Settings.from_environment(self.environment)
        self.jobs = Jobs(self.settings, job_store(self.settings))
        self.store = self.jobs.store

    def write_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.run_folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def submit(self, request: TrainRequest) -> str:
        return self.jobs.submit(request, lambda _: None).id

    def start(self, job_id: str, *command: str) -> "subprocess.Popen[bytes]":
        """The training process of the job, or `command` with the id behind it; what it says goes to the job's train.log."""
        log = self.log(job_id)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            whole = [sys.executable, *(command or ("-m", "services.trainer.processes.job")), job_id]
            return subprocess.Popen(whole, env=self.environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)

    def train(self, request: TrainRequest, *command: str, seconds: float = 240) -> Job:
        """The job of `request` as its training process leaves it."""
        job_id = self.submit(request)
        process = self.start(job_id, *command)
        try:
            process.wait(seconds)
        finally:
            process.kill()
        return self.store.read(job_id)

    def wait(self, job_id: str, true: Callable[[Job], bool], seconds: float = 120) -> Job:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if true(job := self.store.read(job_id)):
                return job
            time.sleep(0.05)
        raise AssertionError(f"{job!r}\n{self.log(job_id).read_text()[-3000:]}")

    def log(self, job_id: str) -> Path:
        return self.store.folder(job_id) / "train.log"

    def adapter(self, name: str) -> Path:
        return self.run_folder / "adapters" / name

    def manifest(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.adapter(name) / "training.json").read_text())
        return record


def processes_of(job_id: str) -> list[int]:
    """Ids of the processes, zombies aside, that name the job on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")  # empty of a zombie
        except OSError:  # it has ended meanwhile
            continue
        if job_id.encode() in command:
            found.append(int(folder.name))
    return found


def gone(job_id: str, seconds: float) -> bool:
    """Whether no process of the job is left within `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(job_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not left


def losses(job: Job) -> list[float]:
    return [point.loss for point in job.losses]
