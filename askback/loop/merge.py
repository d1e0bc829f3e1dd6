"""Have an adapter of a run merged into whole weights by the trainer, for engines that take no adapters."""

import asyncio
import json
from functools import partial
from pathlib import Path

from askback.contracts import errors
from askback.contracts.client import TrainerClient
from askback.contracts.errors import InvalidInput
from askback.contracts.trainer_jobs import Merge, MergeState
from askback.loop.patience import patiently
from askback.loop.store import RunStore

_POLL_S = 1.0


async def merge_adapter(store: RunStore, adapter: str, trainer: TrainerClient) -> Path:
    """The folder of the merged model, made unless it is there.

    Raises InvalidInput for an adapter that the run has not trained, and what the trainer's merge failed with.
    """
    record = store.path("adapters", adapter, "training.json")
    if not record.is_file():
        raise InvalidInput(f"adapter {adapter!r}: no finished one in run {store.run_id}; train it first")
    job_id = str(json.loads(record.read_text(encoding="utf-8"))["job_id"])
    merge: Merge = await patiently(partial(trainer.submit_merge, job_id))
    while merge.state in (MergeState.QUEUED, MergeState.RUNNING):
        await asyncio.sleep(_POLL_S)
        merge = await patiently(partial(trainer.merge, job_id))
    if merge.state is MergeState.FAILED:
        raise errors.ERRORS.get(merge.error_kind, errors.ServiceError)(f"merging {adapter} failed: {merge.error}")
    return store.path(merge.folder)
