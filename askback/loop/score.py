"""Stage `score`: the evaluator's metrics and paired tests over all conditions."""

import asyncio
from functools import partial

from askback.contracts import errors
from askback.contracts.client import EvaluatorClient
from askback.contracts.evaluator import ScoreRequest, Scores
from askback.loop.patience import patiently

_POLL_S = 0.5


async def score(request: ScoreRequest, evaluator: EvaluatorClient) -> Scores:
    """Scores of the run's predictions; raises the error of a failed job."""
    job = await patiently(partial(evaluator.submit, request))
    while job.state in ("queued", "running"):
        await asyncio.sleep(_POLL_S)
        job = await patiently(partial(evaluator.job, job.id))
    if job.scores is None:
        raise errors.ERRORS.get(job.error_kind, errors.ServiceError)(f"scoring failed: {job.error}")
    return job.scores
