"""Which conditions say the same."""

from collections.abc import Sequence

from askback.contracts.records import Prediction, Sample
from askback.tasks.hotpotqa import normalize_answer


def agreement(samples: Sequence[Sample], predictions: Sequence[Sequence[Prediction]]) -> list[list[float]]:
    """Shares in [0, 1] of the questions with the same normalised answer: gold first, then each condition, shape (1 + k, 1 + k).

    Unparsable and failed answers agree with nothing, not even with themselves. `predictions` are in the order of `samples`.
    """
    said: list[list[str | None]] = [[normalize_answer(sample.answer) for sample in samples]]
    for answers in predictions:
        said.append([None if one.error is not None or one.answer is None else normalize_answer(one.answer) for one in answers])
    return [[_share(a, b) for b in said] for a in said]


def _share(a: Sequence[str | None], b: Sequence[str | None]) -> float:
    return sum(x is not None and x == y for x, y in zip(a, b, strict=True)) / len(a)
