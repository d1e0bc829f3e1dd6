"""Train a job in this process, or on several cards in processes of their own."""

import logging
import os
import subprocess

from askback.contracts import errors
from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.trainer import Job, JobState, Sharding
from services.trainer import accelerate_launch
from services.trainer.jobs import JobStore
from services.trainer.settings import Settings

log = logging.getLogger(__name__)

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
RANK = "services.trainer.rank"


def run(settings: Settings, store: JobStore, job: Job) -> Job:
    """Train `job` and return it as DONE; raises what ended it. Call it before torch is imported."""
    # Passes differ in length from step to step; without segments that grow, what they leave behind is memory that none of them can use.
    os.environ.setdefault(ALLOCATOR, "expandable_segments:True")
    if job.request.recipe.gpus > 1:
        return _on_several(store, job)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # TRL refuses several visible cards in one process
    from services.trainer.training import train

    return train(settings, store, job)


def _on_several(store: JobStore, job: Job) -> Job:
    from services.trainer.torch_card import cards

    recipe, there = job.request.recipe, cards()
    if 0 < there < recipe.gpus:
        raise InvalidInput(f"recipe.gpus: {recipe.gpus} cards are asked for and {there} are visible; lower it or set CUDA_VISIBLE_DEVICES")
    if recipe.batch_size * recipe.gradient_accumulation % recipe.gpus:
        raise InvalidInput(f"recipe.gpus: {recipe.gpus} cards cannot share {recipe.batch_size} x {recipe.gradient_accumulation} rows evenly")
    command = accelerate_launch.command(recipe.gpus, there > 0, recipe.sharding is Sharding.FSDP, RANK, job.id)
    log.info("starting %s", " ".join(command[2:]))
    code = subprocess.run(command, env=accelerate_launch.environment(os.environ), check=False).returncode  # noqa: S603 - fixed options, a checked id
    ended = store.read(job.id)
    if ended.state is JobState.FAILED:
        raise errors.ERRORS.get(ended.error_kind, ServiceError)(ended.error)
    if code or ended.state is not JobState.DONE:
        raise ServiceError(f"the processes of the training ended with code {code}; their last lines are in the job's train.log")
    return ended
