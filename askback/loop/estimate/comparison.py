"""Hold the estimate against what a harvested run then asked and was answered."""

from collections.abc import Sequence

from askback.contracts.records import HarvestStage
from askback.loop.config import HarvestConfig
from askback.loop.estimate.calls import Count
from askback.loop.estimate.expected import Known, expect
from askback.loop.estimate.result import Comparison
from askback.loop.harvest import Row

_TAUGHT = (HarvestStage.TEACHER, HarvestStage.HINT)


def compare(count: Count, known: Known, rows: Sequence[Row], config: HarvestConfig) -> Comparison | None:
    """Estimated and counted tokens of the rows whose reply is on disk; None where there is none.

    The estimate is the one that could be made before anything ran, from what is `known` without any run. A reply that could not
    be read left no text, so its row stands on neither side.
    """
    replied = [row for row in rows if (record := row.records.get(HarvestStage.TEACHER)) is not None and record.reply is not None]
    if not replied:
        return None
    expected = expect(count.task, [row.sample for row in replied], known.without_runs(), config.max_questions)
    estimated = count.harvest(expected) + (count.hints(expected, config) if config.hint else [])
    counted = [call for row in replied for call in count.counted(row)]
    used = [row.records[stage].usage for row in replied for stage in _TAUGHT if stage in row.records]
    return Comparison(
        replies=len(counted),
        estimated_prompt_tokens=sum(call.prompt for call in estimated),
        counted_prompt_tokens=sum(call.prompt for call in counted),
        estimated_completion_tokens=sum(call.completion for call in estimated),
        counted_completion_tokens=sum(call.completion for call in counted),
        billed_prompt_tokens=sum(usage.prompt_tokens for usage in used),
        billed_completion_tokens=sum(usage.completion_tokens for usage in used),
        billed_usd=sum(usage.cost_usd for usage in used),
    )
