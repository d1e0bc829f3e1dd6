"""Put a trained adapter into its run, whole or not at all. Imports torch and its kin, so only the training process imports this."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from askback.contracts.trainer import Job
from services.trainer.model.peft_adapter import save_adapter
from services.trainer.model.torch_card import device_name
from services.trainer.records.jobs import write_atomic
from services.trainer.storage.disk import flush
from services.trainer.storage.workspace import WEIGHTS, Workspace
from services.trainer.weights.manifest import training_record
from services.trainer.weights.matplotlib_loss_curve import draw_losses


def publish(workspace: Workspace, job: Job, model: Any, facts: Mapping[str, Any], weights: Any | None = None) -> None:
    """Write the adapter aside, `training.json` last, and move the folder to its place.

    `facts` go into the manifest as they are; `weights` is the state of a model whose cards hold a share each. Raises Conflict when
    another job took the name meanwhile.
    """
    workspace.is_published(job.id)
    aside = workspace.target.with_name(f".{workspace.target.name}.{job.id}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_adapter(model, aside, workspace.base_model, weights)
    draw_losses(job.losses, job.request.name, workspace.base_model, aside / "loss.png")
    flush(aside)
    commit_hash = getattr(model.config, "_commit_hash", None) or ""
    record = training_record(workspace, job, aside / WEIGHTS, {**facts, "device": device_name()}, commit_hash)
    write_atomic(aside / "training.json", json.dumps(record, indent=1))
    workspace.publish(aside)
