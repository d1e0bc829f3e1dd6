"""Start the evaluator's HTTP face: RUNS_DIR, EVALUATOR_MAX_MB, REDIS_URL, PORT, ASKBACK_HOST."""

import asyncio
import os
import sys

from askback.contracts.errors import InvalidInput
from services.evaluator.app import create_app
from services.evaluator.jobs import ScoreQueue
from services.evaluator.prometheus_metrics import PrometheusMetrics
from services.evaluator.reporting.publishing import publish
from services.evaluator.reports import Reports
from services.evaluator.storage.redis_jobs import RedisJobs
from services.evaluator.storage.runs import Runs
from services.evaluator.tasks import enqueue, queued, redis_url
from services.serving import serve


def main() -> None:
    try:
        runs = Runs.of(os.environ)
    except InvalidInput as error:
        sys.stderr.write(f"evaluator: {error}\n")
        raise SystemExit(2) from None
    records, metrics = RedisJobs(redis_url()), PrometheusMetrics(queued)

    async def ready() -> str:
        return await asyncio.to_thread(records.missing)

    serve(create_app(ScoreQueue(runs, records, enqueue, metrics), Reports(runs, publish, metrics), runs, metrics, ready), 8005)


if __name__ == "__main__":
    main()
