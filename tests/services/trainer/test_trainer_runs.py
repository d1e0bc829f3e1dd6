"""Runs in a folder and behind a URL: the same requests, jobs and refusals; copies that follow their originals; uploads that end with the record."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from trainer_rows import dpo_row, sft_row

from askback.contracts.errors import Conflict, InvalidInput, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, Method, TrainRequest
from services.trainer.core import Jobs
from services.trainer.processes.gpu_turn import _served
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.settings import Settings
from services.trainer.storage.fsspec_runs import UrlRuns
from services.trainer.storage.runs import LocalRuns
from services.trainer.storage.workspace import Workspace, runs_at

SFT = TrainRequest(run_id="r1", name="direct-1", dataset="tracks/a.jsonl")
DPO = SFT.model_copy(update={"name": "p", "method": Method.DPO, "dataset": "p.jsonl", "init_adapter": "adapters/direct-1"})


class Bucket:
    """The runs as whoever fills them sees them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files, base = fsspec.core.url_to_fs(settings.runs_url or str(settings.runs), use_listings_cache=False)
        self.base = base.rstrip("/")
        self.put("tracks/a.jsonl", json.dumps(sft_row(1)) + "\n")
        self.put("p.jsonl", json.dumps(dpo_row(1)) + "\n")

    def put(self, path: str, text: str) -> None:
        self.files.makedirs(f"{self.base}/r1/{path}".rsplit("/", 1)[0], exist_ok=True)
        self.files.pipe_file(f"{self.base}/r1/{path}", text.encode())

    def names(self, folder: str) -> set[str]:
        return {found.rsplit("/", 1)[1] for found in self.files.ls(f"{self.base}/r1/{folder}", detail=False)}

    def get(self, path: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.base}/r1/{path}")
        return content


@pytest.fixture(params=["folder", "file", "memory"])
def bucket(request: pytest.FixtureRequest, settings: Settings) -> Bucket:
    urls = {"folder": "", "file": f"file://{settings.runs}", "memory": f"memory://{settings.jobs}"}
    if not (url := urls[request.param]):
        return Bucket(settings)
    return Bucket(replace(settings, runs=settings.jobs / ".inputs", runs_url=url))


@pytest.fixture
def submit(bucket: Bucket) -> Callable[[TrainRequest], Job]:
    jobs = Jobs(bucket.settings, FolderJobs(bucket.settings.jobs))
    return lambda request: jobs.submit(request, list[str]().append)


def trained(workspace: Workspace, weights: bytes = b"w") -> Path:
    """An adapter made beside the workspace's target."""
    aside = workspace.target.with_name(f".{workspace.target.name}.x")
    aside.mkdir(parents=True)
    (aside / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": workspace.base_model}))
    (aside / "adapter_model.safetensors").write_bytes(weights)
    (aside / "training.json").write_text(json.dumps({"job_id": workspace.job_id()}))
    return aside


def test_a_job_is_read_published_and_known_as_done(bucket: Bucket, submit: Callable[[TrainRequest], Job]) -> None:
    job = submit(SFT)
    workspace = Workspace(bucket.settings, SFT)
    assert (job.id, workspace.dataset.name) == (workspace.job_id(), "a.jsonl")
    assert workspace.dataset.read_bytes() == bucket.get("tracks/a.jsonl")
    assert not workspace.is_published(job.id)
    aside = trained(workspace)
    workspace.publish(aside)
    assert not aside.exists()
    assert bucket.names("adapters/direct-1") == {"adapter_config.json", "adapter_model.safetensors", "training.json"}
    assert workspace.is_published(job.id)
    assert submit(SFT).state is JobState.DONE
    with pytest.raises(Conflict, match=f"holds the adapter of job {job.id}"):
        submit(SFT.model_copy(update={"seed": 5}))


def test_what_is_published_is_what_the_next_job_starts_from_and_the_student_is_told_of(bucket: Bucket, submit: Callable[[TrainRequest], Job]) -> None:
    with pytest.raises(InvalidInput, match="init_adapter: adapters/direct-1: no adapter there"):
        submit(DPO)
    workspace = Workspace(bucket.settings, SFT)
    workspace.publish(trained(workspace, b"one"))
    first = submit(DPO)
    start = Workspace(bucket.settings, DPO).init_adapter
    assert start is not None and (start / "adapter_model.safetensors").read_bytes() == b"one"
    done = Job(id=first.id, state=JobState.DONE, request=SFT, adapter="adapters/direct-1")
    served = _served(bucket.settings, done)
    assert (served.name, served.path) == (f"r1-direct-1-{sha256(b'one').hexdigest()[:6]}", "r1/adapters/direct-1")
    bucket.put("adapters/direct-1/adapter_model.safetensors", "two")
    assert submit(DPO).id != first.id
    bucket.put("adapters/direct-1/adapter_config.json", json.dumps({"base_model_name_or_path": "/other"}))
    with pytest.raises(InvalidInput, match="was trained on '/other'"):
        submit(DPO)


def test_other_rows_are_another_job(bucket: Bucket, submit: Callable[[TrainRequest], Job]) -> None:
    first = submit(SFT)
    bucket.put("tracks/a.jsonl", json.dumps(sft_row(2)) + "\n")
    assert submit(SFT).id != first.id


def test_what_is_missing_is_said_alike(bucket: Bucket, submit: Callable[[TrainRequest], Job]) -> None:
    with pytest.raises(InvalidInput, match=r"dataset: b\.jsonl: no such file in the run's folder"):
        submit(SFT.model_copy(update={"dataset": "tracks/b.jsonl"}))
    with pytest.raises(InvalidInput, match="run_id: r9: no such folder under RUNS_DIR"):
        submit(SFT.model_copy(update={"run_id": "r9"}))


@pytest.mark.parametrize("dataset", ["../r2/a.jsonl", "/etc/passwd", "tracks/../../r2/a.jsonl", "a\0b"])
def test_paths_that_leave_the_run_are_refused(bucket: Bucket, submit: Callable[[TrainRequest], Job], dataset: str) -> None:
    with pytest.raises(InvalidInput, match=r"dataset: .* lies outside the run's folder"):
        submit(SFT.model_copy(update={"dataset": dataset}))


@pytest.fixture
def remote(settings: Settings) -> Bucket:
    return Bucket(replace(settings, runs=settings.jobs / ".inputs", runs_url=f"memory://{settings.jobs}"))


@pytest.mark.parametrize("dataset", ["tracks//a.jsonl", "tracks/*.jsonl", "tracks/a?.jsonl", ".", "tracks/", "memory://x/a.jsonl", "a.jsonl\n"])
def test_patterns_and_what_a_url_reads_otherwise_are_refused(remote: Bucket, dataset: str) -> None:
    with pytest.raises(InvalidInput, match="lies outside the run's folder"):
        Workspace(remote.settings, SFT.model_copy(update={"dataset": dataset}))


def test_a_copy_is_kept_until_its_original_changes(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Workspace(remote.settings, SFT).dataset
    with monkeypatch.context() as patch:
        patch.setattr(remote.files, "get_file", lambda *_: pytest.fail("copied again"))
        assert Workspace(remote.settings, SFT).dataset == first
    remote.put("tracks/a.jsonl", json.dumps(sft_row(3)) + "\n")
    again = Workspace(remote.settings, SFT).dataset
    assert again != first and again.read_bytes() == remote.get("tracks/a.jsonl")
    assert not list(remote.settings.runs.glob(".partial-*"))


def test_a_file_that_changes_while_it_is_copied_is_not_kept(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = remote.files.get_file

    def slowly(source: str, target: str, **options: Any) -> None:
        whole(source, target, **options)
        remote.put("tracks/a.jsonl", "{}\n{}\n")

    monkeypatch.setattr(remote.files, "get_file", slowly)
    with pytest.raises(UpstreamUnavailable, match="r1/tracks changed while it was read"):
        Workspace(remote.settings, SFT)
    assert not list(remote.settings.runs.iterdir())


def test_the_record_goes_up_last_and_half_an_upload_is_its_jobs_to_finish(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(remote.settings, SFT)
    sent: list[str] = []
    whole = remote.files.put_file

    def until_the_record(source: str, target: str, **options: Any) -> None:
        sent.append(Path(target).name)
        if sent[-1] == "training.json":
            raise ConnectionError("cut")
        whole(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(remote.files, "put_file", until_the_record)
        with pytest.raises(UpstreamUnavailable, match=r"RUNS_DIR: memory://.*adapters/direct-1 cannot be written: ConnectionError: cut"):
            workspace.publish(aside := trained(workspace))
    assert sent == ["adapter_config.json", "adapter_model.safetensors", "training.json"]
    assert not workspace.is_published(workspace.job_id())
    with pytest.raises(Conflict, match=f"holds the adapter of job {workspace.job_id()}"):
        workspace.is_published("0123456789abcdef")
    workspace.publish(aside)
    assert workspace.is_published(workspace.job_id())
    assert "uploading.json" not in remote.names("adapters/direct-1")


def test_a_folder_that_no_job_wrote_is_left_alone(remote: Bucket) -> None:
    remote.put("adapters/direct-1/adapter_model.safetensors", "mine")
    with pytest.raises(Conflict, match="no job of this trainer"):
        Workspace(remote.settings, SFT).is_published("0123456789abcdef")


def test_a_local_folder_that_appeared_meanwhile_is_left_alone(settings: Settings) -> None:
    local = Bucket(settings)
    workspace = Workspace(settings, SFT)
    aside = trained(workspace)
    local.put("adapters/direct-1/adapter_model.safetensors", "theirs")
    with pytest.raises(Conflict, match="adapters/direct-1 appeared meanwhile"):
        workspace.publish(aside)
    assert local.get("adapters/direct-1/adapter_model.safetensors") == b"theirs"


def test_a_protocol_that_nobody_knows_is_said_at_the_start(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="RUNS_DIR: nope:// cannot be used"):
        runs_at(replace(settings, runs_url="nope://bucket/runs"))
    assert isinstance(runs_at(settings), LocalRuns)
    assert isinstance(runs_at(replace(settings, runs_url="memory://x")), UrlRuns)
