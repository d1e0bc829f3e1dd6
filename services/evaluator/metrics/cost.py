"""What the predictions cost."""

from collections.abc import Sequence

import numpy as np

from askback.contracts.measures import Cost
from askback.contracts.records import Prediction, Usage
from services.evaluator.stats import intervals


def cost(predictions: Sequence[Prediction], seed: int) -> Cost | None:
    """Tokens, dollars and seconds a question, the whole exchange included; None where no prediction tells them.

    Failed predictions, and those without any usage, are left out: what they cost is not recorded. Percentiles interpolate linearly.
    """
    spent = [said.usage for said in predictions if said.error is None and said.usage != Usage()]
    if not spent:
        return None
    p50, p95 = np.quantile([usage.latency_s for usage in spent], [0.5, 0.95])
    return Cost(
        prompt_tokens=intervals.mean("prompt_tokens", [usage.prompt_tokens for usage in spent], seed),
        completion_tokens=intervals.mean("completion_tokens", [usage.completion_tokens for usage in spent], seed),
        usd=intervals.mean("usd", [usage.cost_usd for usage in spent], seed),
        latency_p50_s=float(p50),
        latency_p95_s=float(p95),
    )
