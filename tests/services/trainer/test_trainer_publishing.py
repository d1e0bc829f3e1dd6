"""What a finished job leaves: the adapter, its manifest and its curve, in one folder that is there whole or not at all."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from trainer_rows import Writer, sft_row
from trainer_stack import make_tiny_model

from askback.contracts.errors import Conflict
from askback.contracts.trainer import FitPlan, Job, JobState, LossPoint, Progress, Recipe, TrainRequest
from services.trainer.model.transformers_model import load_base
from services.trainer.rows.dataset import digest
from services.trainer.settings import Settings
from services.trainer.storage.workspace import Workspace
from services.trainer.weights.publishing import publish

LOSSES = [LossPoint(step=step, loss=4.0 / step) for step in range(1, 9)]
FIT = FitPlan(micro_batch=4, gradient_accumulation=1, layers={"none": 2}, budget_gib=8.0, peak_gib=6.0, rows_per_s=10.0, reason="all fits")
FACTS = {"rows": 2, "tokens": 40, "seconds": 3.5, "trained_tokens": 160, "resumed_from": ""}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_tiny_model(folder, ["yes no"])
    return folder


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    from peft import get_peft_model

    from services.trainer.model.peft_adapter import lora_config

    return get_peft_model(load_base(str(base), False), lora_config(Recipe(lora_rank=2)))


@pytest.fixture
def job(settings: Settings, write_rows: Writer, base: Path) -> tuple[Workspace, Job]:
    """A job that is about to be published, in a run whose base is the tiny model."""
    request = TrainRequest(run_id="r1", name="direct", dataset=write_rows([sft_row(1), sft_row(2)]), recipe=Recipe(lora_rank=2), seed=7)
    workspace = Workspace(Settings(settings.runs, settings.jobs, str(base), settings.redis_url), request)
    progress = Progress(step=8, total_steps=8, tokens_per_s=50.0, memory_gib=1.5)
    return workspace, Job(id=workspace.job_id(), state=JobState.RUNNING, request=request, progress=progress, losses=LOSSES, fit=FIT)


def published(workspace: Workspace, job: Job, model: Any) -> tuple[Path, dict[str, Any]]:
    publish(workspace, job, model, FACTS)
    folder = workspace.target
    return folder, json.loads((folder / "training.json").read_text())


def test_the_manifest_says_what_the_adapter_was_made_from(job: tuple[Workspace, Job], model: Any, base: Path) -> None:
    folder, record = published(*job, model)
    assert {path.name for path in folder.iterdir()} == {"adapter_model.safetensors", "adapter_config.json", "training.json", "loss.png"}
    assert list(folder.parent.iterdir()) == [folder]
    request = job[1].request
    assert (record["job_id"], record["seed"], record["base_model"]) == (job[1].id, 7, str(base))
    assert TrainRequest.model_validate(record["request"]) == request
    assert record["dataset_sha256"] == hashlib.sha256(job[0].dataset.read_bytes()).hexdigest()
    assert (record["dataset"], record["rows"], record["init_adapter_sha256"]) == (request.dataset, 2, "")
    assert record["weights_sha256"] == digest(folder / "adapter_model.safetensors")
    assert FitPlan.model_validate(record["fit"]) == FIT
    assert {"python", "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate"} <= record["versions"].keys()
    assert record["device"]
    assert [point["loss"] for point in record["losses"]] == [point.loss for point in LOSSES]


def test_the_metrics_are_those_of_the_training(job: tuple[Workspace, Job], model: Any) -> None:
    _, record = published(*job, model)
    assert record["metrics"] == {
        "steps": 8,
        "first_quarter_loss": 3.0,
        "last_quarter_loss": pytest.approx((4 / 7 + 4 / 8) / 2),
        "tokens": 160,
        "tokens_per_s": 50.0,
        "seconds": 3.5,
        "peak_memory_gib": 1.5,
    }


def test_a_job_without_a_step_is_published_with_an_empty_curve(job: tuple[Workspace, Job], model: Any) -> None:
    workspace, ended = job
    folder, record = published(workspace, ended.model_copy(update={"losses": [], "progress": Progress()}), model)
    assert (record["metrics"]["first_quarter_loss"], record["losses"]) == (None, [])
    assert (folder / "loss.png").read_bytes().startswith(PNG)


def test_the_base_folders_revision_changes_with_its_files(job: tuple[Workspace, Job], base: Path, tmp_path: Path) -> None:
    from services.trainer.weights.manifest import base_revision

    copy = tmp_path / "copy"
    copy.mkdir()
    for path in base.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    before = base_revision(str(base), "")
    assert before == base_revision(str(copy), "not looked at")
    assert before["kind"] == "files sha256"
    (copy / "config.json").write_text("{}")
    assert base_revision(str(copy), "") != before
    assert base_revision("owner/model", "abc") == {"kind": "hub commit", "value": "abc"}


def test_another_jobs_adapter_of_that_name_stays(job: tuple[Workspace, Job], model: Any) -> None:
    workspace, mine = job
    workspace.target.mkdir(parents=True)
    (workspace.target / "training.json").write_text('{"job_id": "0000000000000000"}')
    with pytest.raises(Conflict, match="adapters/direct holds the adapter of job 0000000000000000"):
        publish(workspace, mine, model, FACTS)
    assert [path.name for path in workspace.target.iterdir()] == ["training.json"]
