"""Start the evaluator's HTTP face: RUNS_DIR, REDIS_URL, PORT, ASKBACK_HOST."""

import asyncio
import os
from pathlib import Path

from services.evaluator.app import create_app
from services.evaluator.jobs import ScoreQueue
from services.evaluator.reporting.publishing import publish
from services.evaluator.storage.redis_jobs import RedisJobs
from services.evaluator.tasks import enqueue, redis_url
from services.serving import serve


def main() -> None:
    records = RedisJobs(redis_url())

    async def ready() -> str:
        return await asyncio.to_thread(records.missing)

    runs_dir = Path(os.environ.get("RUNS_DIR", "runs"))
    serve(create_app(ScoreQueue(records, enqueue), publish, runs_dir, ready), 8005)


if __name__ == "__main__":
    main()
