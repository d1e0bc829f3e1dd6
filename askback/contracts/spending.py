"""What a harvest's answers cost when they were bought, by step."""

from collections.abc import Iterable, Sequence

from askback.contracts.records import HarvestRecord, HarvestStage, Record

_BOUGHT = ("", "miss")


class Spent(Record):
    """What the records of one step cost, those included that were made again."""

    records: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


def spent(records: Sequence[HarvestRecord]) -> dict[str, Spent]:
    """By step that has records, and `total`.

    An answer out of the cache counts at the price that it was bought for, since it was a killed run's own or somebody's gift to
    this corpus; one that this harvest bought, or has counted, costs nothing again. What the run itself paid is in the teacher's
    ledger.
    """
    costs = _costs(records)
    of_step = {stage.value: [position for position, record in enumerate(records) if record.stage is stage] for stage in HarvestStage}
    of_step = {step: positions for step, positions in of_step.items() if positions} | {"total": list(range(len(records)))}
    return {step: _sum([records[position] for position in positions], [costs[p] for p in positions]) for step, positions in of_step.items()}


def _costs(records: Sequence[HarvestRecord]) -> list[float]:
    """Dollars of each record, in their order."""
    counted = {record.request_hash for record in records if record.request_hash and record.cache in _BOUGHT}
    costs = []
    for record in records:
        known = record.cache not in _BOUGHT and record.request_hash in counted
        counted.add(record.request_hash)
        costs.append(0.0 if known else record.usage.cost_usd)
    return costs


def _sum(records: Iterable[HarvestRecord], costs: Iterable[float]) -> Spent:
    usages = [record.usage for record in records]
    return Spent(
        records=len(usages),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cost_usd=round(sum(costs), 6),
    )
