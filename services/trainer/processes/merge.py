"""The merging process: `python -m services.trainer.processes.merge JOB_ID`. Exit code 0 also when another process does the merge."""

import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

from askback.contracts.errors import NotFound
from askback.contracts.trainer import Job, JobState
from services.trainer.core import MOST_DEATHS, OPEN, TOO_MANY_DEATHS
from services.trainer.failure import failed, failed_by
from services.trainer.merges import RECORD, merge_store, merged_folder, merged_record
from services.trainer.processes.process import LOCK_LOST, die_with_parent
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore, LockLost, write_atomic
from services.trainer.rows.dataset import digest
from services.trainer.settings import Settings
from services.trainer.storage.disk import flush
from services.trainer.storage.runs import Runs, parsed
from services.trainer.storage.workspace import CONFIG, WEIGHTS, runs_at
from services.trainer.weights.manifest import base_revision
from services.trainer.weights.provenance import source_commit, versions

log = logging.getLogger(__name__)

LOCK_WAIT_S = 2.0  # a submission or a status check may hold the lock for a moment


def main(job_id: str) -> int:
    """Merge under the merge's own lock; the outcome is in its record. A card is not touched, so a training may have it meanwhile."""
    die_with_parent()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.from_environment()
    store = merge_store(settings)
    with store.lock(job_id, LOCK_WAIT_S) as held:
        merge = store.read(job_id)
        if not held or merge.state not in OPEN:
            log.info("the merge of job %s is %s already", job_id, merge.state)
            return 0
        if store.starts(job_id) >= MOST_DEATHS:
            store.write(failed(merge, "ServiceError", TOO_MANY_DEATHS))
            return 0
        store.count_start(job_id)
        store.write(merge.model_copy(update={"state": JobState.RUNNING}))
        return _run(runs_at(settings), job_store(settings), store, merge)


def _run(runs: Runs, jobs: JobStore, store: JobStore, merge: Job) -> int:
    try:
        job = jobs.read(merge.id)
        merge_adapter(runs, job)
        store.write(merge.model_copy(update={"state": JobState.DONE, "adapter": merged_folder(job), "error": ""}))
    except LockLost as error:
        log.error("%s", error)
        return LOCK_LOST
    except Exception as error:  # the process's border: whatever ends the merge is written into its record
        log.exception("the merge of job %s failed", merge.id)
        store.write(failed_by(merge, error))
        return 1
    return 0


def merge_adapter(runs: Runs, job: Job) -> None:
    """Publish the job's adapter, added to its base, as a whole model; nothing is done where it is there already.

    Raises NotFound when the run holds the job's adapter no more, Conflict when something else has the merged model's place.
    """
    if merged_record(runs, job) is not None:
        return
    adapter = _adapter(runs, job)
    target = runs.target(job.request.run_id, merged_folder(job))
    aside = target.with_name(f".{target.name}.{job.id}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    from services.trainer.weights.whole_model import write_whole_model

    begun = time.monotonic()
    base_model = str(parsed(adapter / CONFIG, (adapter / CONFIG).read_bytes())["base_model_name_or_path"])
    facts = write_whole_model(base_model, adapter, aside)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in sorted(aside.iterdir())}
    record = {
        "job_id": job.id,
        "adapter": job.adapter,
        "adapter_sha256": digest(adapter / WEIGHTS),
        "base_model": base_model,
        "base_model_revision": base_revision(base_model, facts.pop("commit_hash")),
        **facts,
        "seconds": round(time.monotonic() - begun, 3),
        "files": files,
        "versions": versions(),
        "commit": source_commit(),
    }
    flush(aside)
    write_atomic(aside / RECORD, json.dumps(record, indent=1))
    runs.publish(aside, job.request.run_id, merged_folder(job), RECORD)


def _adapter(runs: Runs, job: Job) -> Path:
    """The folder of the job's own adapter, or a copy of it, on this machine."""
    owner = runs.owner(job.request.run_id, job.adapter)
    if owner is None or owner.job_id != job.id:
        raise NotFound(f"{job.adapter} of run {job.request.run_id} is no more the adapter of job {job.id}; train it again")
    return runs.folder("adapter", job.request.run_id, job.adapter, (CONFIG, WEIGHTS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
