"""The trainer service: `python -m services.trainer`."""

import asyncio
from pathlib import Path

from services.serving import Readiness, serve
from services.trainer import merge_tasks, tasks
from services.trainer.app import create_app
from services.trainer.core import Jobs
from services.trainer.merges import Merges
from services.trainer.prometheus_metrics import PrometheusMetrics
from services.trainer.recovery import recover_jobs, recovering
from services.trainer.storage.workspace import runs_at

PORT = 8004


def base_model_missing(base_model: str) -> str:
    """Empty when the base model can be meant, else what is missing. A hub's name is only resolved by a training."""
    if not base_model:
        return "BASE_MODEL is not set"
    is_hub_name = base_model.count("/") == 1 and not base_model.startswith((".", "/", "~")) and not Path(base_model).parent.is_dir()
    if not is_hub_name and not (Path(base_model) / "config.json").is_file():
        return f"base model not found: {base_model} has no config.json"
    return ""


def readiness(base_model: str) -> Readiness:
    async def ready() -> str:
        missing = [base_model_missing(base_model), await asyncio.to_thread(tasks.broker_missing)]
        return "; ".join(text for text in missing if text)

    return ready


def main() -> None:
    settings = tasks.SETTINGS
    jobs, merging = Jobs(settings, tasks.STORE), Jobs(settings, merge_tasks.STORE)
    merges = Merges(runs_at(settings), tasks.STORE, merge_tasks.STORE, merge_tasks.enqueue_merge)

    def look() -> None:
        recover_jobs(jobs, tasks.enqueue)
        recover_jobs(merging, merge_tasks.enqueue_merge)

    metrics = PrometheusMetrics({"train": tasks.STORE, "merge": merge_tasks.STORE}, tasks.queued)
    with recovering(look):
        serve(create_app(jobs, tasks.enqueue, readiness(settings.base_model), merges, metrics), PORT)


if __name__ == "__main__":
    main()
