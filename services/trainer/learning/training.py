"""One job from its rows to the published adapter. Imports torch and its kin, so only the training process imports this."""

import logging
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Job, JobState
from services.trainer.learning.checkpoints import last_checkpoint
from services.trainer.learning.fitting import fit
from services.trainer.learning.out_of_memory import explained
from services.trainer.learning.trl_trainers import build_trainer, gathered_weights
from services.trainer.model.peft_adapter import lora_config, with_adapter
from services.trainer.model.torch_card import is_first, on_gpu, use_card
from services.trainer.model.transformers_model import HubTokenizer, StepReport, load_base, use_threads
from services.trainer.records.jobs import JobStore
from services.trainer.records.progress import ProgressWriter
from services.trainer.rows import guards
from services.trainer.rows.dataset import Row, read_dataset
from services.trainer.rows.trained_rows import check_trained_rows
from services.trainer.settings import Settings
from services.trainer.storage.workspace import Workspace
from services.trainer.weights.publishing import publish

log = logging.getLogger(__name__)


def train(settings: Settings, store: JobStore, job: Job) -> Job:
    """Train and publish the job's adapter; returns the job as DONE. Goes on from the last whole checkpoint, if there is one.

    Of several processes that train a job together, each calls this, and the first one reports and publishes.
    """
    workspace = Workspace(settings, job.request)
    recipe = job.request.recipe
    rows = read_dataset(workspace.dataset, job.request.method)
    if workspace.job_id() != job.id:
        raise InvalidInput("dataset: it or init_adapter changed since the job was submitted; submit again")
    if workspace.is_published(job.id):
        return _done(job, workspace)
    use_card(settings.gpu_memory_gb)
    use_threads()
    tokenizer = HubTokenizer(settings.base_model)
    signal = guards.measure(rows, tokenizer, recipe.max_length)
    guards.check(signal, recipe)
    log.info("signal: %s", signal)
    progress = ProgressWriter(job, store.write if is_first() else _unheard)
    try:
        trained = _trained(settings, workspace, rows, tokenizer, progress, store.checkpoints(job.id), signal)
    except Exception as error:
        if told := explained(error, recipe, progress.job.fit, signal.longest):
            raise told from error
        raise
    if is_first():
        publish(workspace, progress.job, trained.model, {**asdict(signal), **trained.facts}, trained.weights)
        shutil.rmtree(store.checkpoints(job.id), ignore_errors=True)
    return _done(progress.job, workspace)


@dataclass(frozen=True)
class _Trained:
    model: Any
    facts: dict[str, Any]
    """What the adapter's manifest says of the training."""
    weights: Any | None
    """The whole state of a model whose cards hold a share each."""


def _trained(
    settings: Settings, workspace: Workspace, rows: list[Row], tokenizer: HubTokenizer, progress: ProgressWriter, folder: Path, signal: guards.Signal
) -> _Trained:
    """The trained model; its checkpoints lie in `folder`."""
    job, recipe = progress.job, progress.job.request.recipe
    base = load_base(settings.base_model, recipe.four_bit)
    model = with_adapter(base, workspace.init_adapter) if workspace.init_adapter else base
    fresh = None if workspace.init_adapter else lora_config(recipe)
    trainer = build_trainer(job.request, model, fresh, tokenizer.wrapped, rows, [StepReport(progress)], folder, on_gpu())
    log.info("rows: %s", check_trained_rows(trainer, rows, tokenizer, job.request.method, signal))
    checkpoint = last_checkpoint(folder)
    progress.fitted(fit(trainer, recipe, job.fit if checkpoint else None, settings.gpu_memory_gb, settings.replay))
    begun = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    facts = {
        "seconds": round(time.monotonic() - begun, 3),
        "resumed_from": checkpoint.name if checkpoint else "",
        "dtype": str(base.dtype),
        "trained_tokens": _tokens(trainer.state.log_history),
    }
    return _Trained(trainer.model, facts, gathered_weights(trainer))


def _tokens(history: list[dict[str, Any]]) -> int:
    """Tokens of the whole training: TRL's count begins anew with every process that goes on from a checkpoint."""
    total = last = 0
    for counted in (int(entry["num_tokens"]) for entry in history if "num_tokens" in entry):
        total, last = (total + last if counted < last else total), counted
    return total + last


def _unheard(job: Job) -> None:
    """Where another process of the job reports."""


def _done(job: Job, workspace: Workspace) -> Job:
    return job.model_copy(update={"state": JobState.DONE, "adapter": workspace.adapter, "error": ""})
