"""`training.json`: what an adapter was made from, with what, and how it went."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

from askback.contracts.trainer import Job, LossPoint
from services.trainer.rows.dataset import digest
from services.trainer.storage.workspace import Workspace
from services.trainer.weights.provenance import source_commit, versions


def training_record(workspace: Workspace, job: Job, weights: Path, facts: Mapping[str, Any], commit_hash: str) -> dict[str, Any]:
    """The manifest of the adapter file `weights`. `facts` are the signal's counts and what the training says of itself.

    `commit_hash` is the base's commit on the hub, empty for a local folder. Losses are means over the tokens of a step.
    """
    start = workspace.init_adapter
    return {
        "job_id": job.id,
        "request": job.request.model_dump(mode="json"),
        "seed": job.request.seed,
        "base_model": workspace.base_model,
        "base_model_revision": base_revision(workspace.base_model, commit_hash),
        "dataset": job.request.dataset,
        "dataset_sha256": digest(workspace.dataset),
        "init_adapter_sha256": digest(start / weights.name) if start else "",
        "weights_sha256": digest(weights),
        **facts,
        "fit": job.fit.model_dump(mode="json") if job.fit else None,
        "metrics": _metrics(job, facts),
        "losses": [point.model_dump() for point in job.losses],
        "versions": versions(),
        "commit": source_commit(),
    }


def base_revision(base_model: str, commit_hash: str) -> dict[str, str]:
    """{"kind", "value"}: `hub commit` for a name on the hub, `files sha256` for a folder, of which it reads no weights.

    The latter is the SHA-256 over config.json, the weights' index and the names and sizes of the safetensors files.
    """
    folder = Path(base_model)
    if not folder.is_dir():
        return {"kind": "hub commit", "value": commit_hash}
    hashed = sha256()
    for path in [folder / "config.json", folder / "model.safetensors.index.json"]:
        if path.is_file():
            hashed.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for path in sorted(folder.glob("*.safetensors")):
        hashed.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    return {"kind": "files sha256", "value": hashed.hexdigest()}


def _metrics(job: Job, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Speed and time are those of the process that finished the job, not of those before a resume."""
    first, last = _quarters(job.losses)
    return {
        "steps": job.progress.step,
        "first_quarter_loss": first,
        "last_quarter_loss": last,
        "tokens": facts.get("trained_tokens"),
        "tokens_per_s": job.progress.tokens_per_s,
        "seconds": facts.get("seconds"),
        "peak_memory_gib": job.progress.memory_gib,
    }


def _quarters(losses: Sequence[LossPoint]) -> tuple[float | None, float | None]:
    """Mean loss of the first and of the last quarter of the steps; None without any."""
    if not losses:
        return None, None
    values = [point.loss for point in losses]
    size = max(1, len(values) // 4)
    return fmean(values[:size]), fmean(values[-size:])
