"""What a harvest's answers cost."""

import pytest

from askback.contracts.records import HarvestRecord, HarvestStage, Usage
from askback.contracts.spending import spent


def answered(cache: str, request: str, cost: float = 0.5) -> HarvestRecord:
    usage = Usage(prompt_tokens=10, completion_tokens=2, cost_usd=cost)
    return HarvestRecord(sample_id="s", stage=HarvestStage.TEACHER, error="e", cache=cache, request_hash=request, usage=usage)


@pytest.mark.parametrize(
    ("records", "dollars"),
    [
        ([answered("miss", "a"), answered("miss", "b")], 1.0),
        ([answered("hit", "a")], 0.5),  # bought by a killed harvest
        ([answered("miss", "a"), answered("coalesced", "a")], 0.5),
        ([answered("coalesced", "a"), answered("miss", "a")], 0.5),
        ([answered("hit", "a"), answered("hit", "a")], 0.5),
        ([answered("miss", "a"), answered("miss", "a")], 1.0),  # asked afresh, and paid again
        ([answered("", "", 0.25), answered("", "", 0.25)], 0.5),
    ],
)
def test_every_answer_counts_once_at_its_price(records: list[HarvestRecord], dollars: float) -> None:
    total = spent(records)["total"]
    assert (total.records, total.cost_usd) == (len(records), dollars)
    assert (total.prompt_tokens, total.completion_tokens) == (10 * len(records), 2 * len(records))


def test_steps_without_records_are_left_out() -> None:
    assert list(spent([answered("miss", "a")])) == ["teacher", "total"]
    assert spent([])["total"].records == 0
