"""Whole weights from a finished job's adapter: asked for over HTTP, made by a process of its own, equal to base plus adapter."""

import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from trainer_rows import sft_row
from trainer_stack import make_tiny_model, redis

from askback.contracts.client import TrainerClient
from askback.contracts.errors import Conflict, NotFound, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, LossPoint, Recipe, TrainRequest
from askback.contracts.trainer_jobs import MergeState
from services.trainer.app import create_app
from services.trainer.core import Jobs
from services.trainer.merges import Merges, merge_store
from services.trainer.processes.merge import merge_adapter
from services.trainer.processes.process import supervise
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore
from services.trainer.rows.dataset import digest
from services.trainer.settings import Settings
from services.trainer.storage.fsspec_runs import UrlRuns
from services.trainer.storage.runs import LocalRuns

JOB = Job(id="0123456789abcdef", state=JobState.DONE, request=TrainRequest(run_id="r1", name="direct", dataset="a.jsonl"), adapter="adapters/direct")
OTHER = '{"job_id": "0000000000000000"}'


class Running:
    """A worker that nobody asks to end."""

    requested = False


@dataclass
class Trained:
    """A run whose job r1/direct is done, with an adapter that changes the tiny model's answers."""

    settings: Settings
    job: Job
    base: Path

    @property
    def run(self) -> Path:
        return self.settings.runs / "r1"

    @property
    def store(self) -> JobStore:
        return merge_store(self.settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    import torch
    from peft import get_peft_model

    from services.trainer.model.peft_adapter import lora_config
    from services.trainer.model.transformers_model import load_base
    from services.trainer.storage.workspace import Workspace
    from services.trainer.weights.publishing import publish

    root = tmp_path_factory.mktemp("merges")
    base = root / "base"
    make_tiny_model(base, ["yes no"])
    (root / "runs" / "r1").mkdir(parents=True)
    (root / "runs" / "r1" / "a.jsonl").write_text(json.dumps(sft_row(1)) + "\n")
    settings = Settings(runs=root / "runs", jobs=root / "jobs", base_model=str(base), redis_url="redis://127.0.0.1:1/0")
    workspace = Workspace(settings, JOB.request)
    torch.manual_seed(0)
    model = get_peft_model(load_base(str(base), False), lora_config(Recipe(lora_rank=4)))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    job = JOB.model_copy(update={"id": workspace.job_id(), "losses": [LossPoint(step=1, loss=1.0)]})
    publish(workspace, job, model, {"seconds": 1.0})
    job_store(settings).write(job)
    return Trained(settings, job, base)


@pytest.fixture
def environment(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the merging process reads its settings from."""
    monkeypatch.setenv("RUNS_DIR", str(trained.settings.runs))
    monkeypatch.setenv("JOBS_DIR", str(trained.settings.jobs))
    monkeypatch.setenv("BASE_MODEL", "another-base-by-now")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("JOB_STORE", raising=False)


def merges_of(settings: Settings, queue: list[str]) -> Merges:
    return Merges(LocalRuns(settings.runs), job_store(settings), merge_store(settings), queue.append)


def logits(folder: Path, adapter: Path | None = None) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    with torch.no_grad():
        return model.eval()(torch.arange(5, 45).view(4, 10)).logits


def test_the_merged_model_answers_as_base_and_adapter_do(trained: Trained, environment: None) -> None:
    queue: list[str] = []
    merges, job_id = merges_of(trained.settings, queue), trained.job.id
    assert (merges.submit(job_id).state, merges.submit(job_id).state) == (MergeState.QUEUED, MergeState.QUEUED)
    assert supervise(trained.store, job_id, Running(), module="services.trainer.processes.merge")
    done = merges.read(job_id)
    assert (done.state, done.folder, done.error) == (MergeState.DONE, "adapters/direct-merged", "")
    assert not supervise(trained.store, job_id, Running(), module="services.trainer.processes.merge")
    queue.clear()
    assert (merges.submit(job_id), queue) == (done, [])

    folder, adapter = trained.run / done.folder, trained.run / "adapters/direct"
    plain, wanted, merged = logits(trained.base), logits(trained.base, adapter), logits(folder)
    rounding = (wanted - merged).abs().max() / wanted.abs().max()
    assert rounding < 0.02  # bf16 keeps 8 bits of each weight
    assert (wanted - plain).abs().max() > 10 * (wanted - merged).abs().max()
    check_manifest(trained, folder)


def check_manifest(trained: Trained, folder: Path) -> None:
    record = json.loads((folder / "merge.json").read_text())
    assert (record["job_id"], record["dtype"], record["base_model"]) == (trained.job.id, "bfloat16", str(trained.base))
    assert record["adapter_sha256"] == digest(trained.run / "adapters/direct/adapter_model.safetensors")
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert record["files"].keys() == names - {"merge.json"}
    assert record["files"]["model.safetensors"]["sha256"] == digest(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert not list(folder.parent.glob(".*"))


@pytest.mark.e2e
def test_a_worker_takes_the_merge_from_the_queue(trained: Trained, environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with redis() as url:
        monkeypatch.setenv("REDIS_URL", url)
        importlib.reload(importlib.import_module("services.trainer.tasks"))  # it reads its settings once
        merge_tasks = importlib.reload(importlib.import_module("services.trainer.merge_tasks"))
        shutil.rmtree(trained.run / "adapters/direct-merged", ignore_errors=True)
        jobs = job_store(trained.settings)
        merges = Merges(LocalRuns(trained.settings.runs), jobs, merge_tasks.STORE, merge_tasks.enqueue_merge)
        assert merges.submit(trained.job.id).state is MergeState.QUEUED
        command = [sys.executable, "-m", "celery", "-A", "services.trainer.tasks", "worker", "--pool=solo", "-Q", "trainer"]
        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen([*command, "--include", "services.trainer.merge_tasks"], stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + 120
            while merges.read(trained.job.id).state in (MergeState.QUEUED, MergeState.RUNNING) and time.monotonic() < until:
                time.sleep(0.2)
        finally:
            worker.kill()
            worker.wait()
        merge = merges.read(trained.job.id)
        assert merge.state is MergeState.DONE, (merge, (tmp_path / "worker.log").read_text()[-3000:])
    assert (trained.run / merge.folder / "merge.json").is_file()


def test_runs_behind_a_url_are_merged_there(trained: Trained, tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    for path in (trained.run / "adapters/direct").iterdir():
        files.pipe_file(f"/merged-runs/r1/adapters/direct/{path.name}", path.read_bytes())
    runs = UrlRuns("memory://merged-runs", tmp_path)
    merge_adapter(runs, trained.job)
    names = {Path(name).name for name in files.ls("/merged-runs/r1/adapters/direct-merged", detail=False)}
    assert {"merge.json", "model.safetensors", "tokenizer.json"} <= names and "uploading.json" not in names
    merge_adapter(runs, trained.job)
    with pytest.raises(Conflict, match="holds something that is no merge of job"):
        merge_adapter(runs, trained.job.model_copy(update={"id": JOB.id}))


def test_an_adapter_that_is_another_jobs_by_now_is_not_merged(trained: Trained, environment: None, tmp_path: Path) -> None:
    gone = JOB.model_copy(update={"request": JOB.request.model_copy(update={"name": "gone"}), "adapter": "adapters/gone"})
    job_store(trained.settings).write(gone)
    merges = merges_of(trained.settings, [])
    merges.submit(gone.id)
    assert supervise(trained.store, gone.id, Running(), module="services.trainer.processes.merge")
    merge = merges.read(gone.id)
    assert (merge.state, merge.error_kind) == (MergeState.FAILED, "NotFound")
    assert "adapters/gone of run r1 is no more the adapter of job" in merge.error
    assert not (trained.run / "adapters/gone-merged").exists()


def test_a_base_that_is_quantised_is_refused(trained: Trained, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from askback.contracts.errors import InvalidInput
    from services.trainer.weights.whole_model import refuse_quantised

    with pytest.raises(InvalidInput, match="BASE_MODEL: b is quantised"):
        refuse_quantised("b", SimpleNamespace(quantization_config={"bits": 4}))
    refuse_quantised("b", SimpleNamespace())


@pytest.fixture
def queue() -> list[str]:
    return []


@pytest.fixture
def client(settings: Settings, queue: list[str]) -> Iterator[TrainerClient]:
    app = create_app(Jobs(settings, job_store(settings)), queue.append, merges=merges_of(settings, queue))
    yield TrainerClient(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://trainer"))


async def test_only_what_is_done_is_merged(client: TrainerClient, settings: Settings, queue: list[str]) -> None:
    with pytest.raises(NotFound, match="no such job"):
        await client.submit_merge(JOB.id)
    for state in (JobState.QUEUED, JobState.RUNNING, JobState.FAILED):
        job_store(settings).write(JOB.model_copy(update={"state": state}))
        with pytest.raises(Conflict, match=f"is {state}; only the adapter of a job that is done"):
            await client.submit_merge(JOB.id)
    with pytest.raises(NotFound, match="has no merge; ask for it with POST"):
        await client.merge(JOB.id)
    assert queue == []
    with job_store(settings).lock(JOB.id):
        job_store(settings).write(JOB)
    asked = await client.submit_merge(JOB.id)
    assert (asked.state, asked.job_id, asked.folder, queue) == (MergeState.QUEUED, JOB.id, "", [JOB.id])
    assert await client.merge(JOB.id) == asked
    assert await client.job(JOB.id) == JOB
    assert len((await client.send("GET", "/v1/jobs")).json()) == 1


async def test_a_merge_that_runs_is_asked_for_in_vain(client: TrainerClient, settings: Settings, queue: list[str]) -> None:
    job_store(settings).write(JOB)
    await client.submit_merge(JOB.id)
    queue.clear()
    store = merge_store(settings)
    with store.lock(JOB.id):
        store.write(JOB.model_copy(update={"state": JobState.RUNNING, "adapter": ""}))
        assert (await client.submit_merge(JOB.id)).state is MergeState.RUNNING
    assert queue == []


async def test_a_folder_of_that_name_is_left_alone(client: TrainerClient, settings: Settings, queue: list[str]) -> None:
    job_store(settings).write(JOB)
    folder = settings.runs / "r1" / "adapters" / "direct-merged"
    folder.mkdir(parents=True)
    for name, text in (("notes.txt", "mine"), ("training.json", OTHER), ("merge.json", OTHER)):
        (folder / name).write_text(text)
        with pytest.raises(Conflict, match="adapters/direct-merged holds something that is no merge of job"):
            await client.submit_merge(JOB.id)
    assert queue == []


def test_a_broker_that_is_down_leaves_the_merge_for_the_recovery(settings: Settings) -> None:
    def refuse(_: str) -> None:
        raise UpstreamUnavailable("redis cannot be reached")

    job_store(settings).write(JOB)
    store = merge_store(settings)
    with pytest.raises(UpstreamUnavailable):
        Merges(LocalRuns(settings.runs), job_store(settings), store, refuse).submit(JOB.id)
    recovered: list[str] = []
    assert Jobs(settings, store).recover(recovered.append) == recovered == [JOB.id]
    assert Jobs(settings, job_store(settings)).recover(recovered.append) == []
