"""One job from its rows to the published adapter. Imports torch and its kin, so only the training process imports this."""

import importlib.metadata
import json
import logging
import os
import shutil
import time
from dataclasses import asdict
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Job, JobState
from services.trainer import guards
from services.trainer.checkpoints import last_checkpoint
from services.trainer.dataset import digest, read_dataset
from services.trainer.jobs import JobStore, write_atomic
from services.trainer.peft_adapter import lora_config, save_adapter, with_adapter
from services.trainer.progress import ProgressWriter
from services.trainer.settings import Settings
from services.trainer.transformers_model import HubTokenizer, StepReport, load_base, on_gpu, use_threads
from services.trainer.trl_trainers import build_trainer
from services.trainer.workspace import Workspace

log = logging.getLogger(__name__)


def train(settings: Settings, store: JobStore, job: Job) -> Job:
    """Train and publish the job's adapter; returns the job as DONE. Goes on from the last whole checkpoint, if there is one."""
    workspace = Workspace(settings, job.request)
    recipe = job.request.recipe
    rows = read_dataset(workspace.dataset, job.request.method)
    if workspace.job_id() != job.id:
        raise InvalidInput("dataset: it or init_adapter changed since the job was submitted; submit again")
    if workspace.is_published(job.id):
        return _done(job, workspace)
    use_threads()
    tokenizer = HubTokenizer(settings.base_model)
    signal = guards.measure(rows, tokenizer, recipe.max_length)
    guards.check(signal, recipe.max_length, bool(recipe.allow))
    log.info("signal: %s", signal)
    base = load_base(settings.base_model, recipe.four_bit)
    model = with_adapter(base, workspace.init_adapter) if workspace.init_adapter else base
    peft_config = None if workspace.init_adapter else lora_config(recipe)
    progress = ProgressWriter(job, store.write)
    checkpoints = store.checkpoints(job.id)
    trainer = build_trainer(job.request, model, peft_config, tokenizer.wrapped, rows, [StepReport(progress)], checkpoints, on_gpu())
    checkpoint = last_checkpoint(checkpoints)
    begun = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    facts = {
        **asdict(signal),
        "seconds": round(time.monotonic() - begun, 3),
        "resumed_from": checkpoint.name if checkpoint else "",
        "dtype": str(base.dtype),
    }
    _publish(workspace, progress.job, trainer.model, facts)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return _done(progress.job, workspace)


def _publish(workspace: Workspace, job: Job, model: Any, facts: dict[str, Any]) -> None:
    """Write the adapter aside, `training.json` last, and rename the folder into place."""
    workspace.is_published(job.id)  # raises Conflict if another job took the name meanwhile
    aside = workspace.target.with_name(f".{workspace.target.name}.{job.id}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_adapter(model, aside, workspace.base_model)
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    record = {
        "job_id": job.id,
        "request": job.request.model_dump(mode="json"),
        "base_model": workspace.base_model,
        "dataset_sha256": digest(workspace.dataset),
        **facts,
        "losses": [point.model_dump() for point in job.losses],
        "versions": {name: importlib.metadata.version(name) for name in ("trl", "transformers", "peft", "torch")},
    }
    write_atomic(aside / "training.json", json.dumps(record, indent=1))
    aside.rename(workspace.target)


def _done(job: Job, workspace: Workspace) -> Job:
    return job.model_copy(update={"state": JobState.DONE, "adapter": workspace.adapter, "error": ""})
