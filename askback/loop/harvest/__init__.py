"""Stage `harvest`: student draft and questions, teacher's answers, student rewrite; one record per row and step.

A row moves to its next step when it is ready, whatever the others do. What is on disk is never asked again.
"""

from collections.abc import Sequence

from askback.loop.concurrently import concurrently
from askback.loop.config import HarvestConfig
from askback.loop.harvest.rows import Row, counts_of, rows_of, traces_of, versions_of
from askback.loop.harvest.steps import Keep, Steps
from askback.loop.progress import Bar
from askback.loop.services import Services
from askback.tasks import Task

__all__ = ["Keep", "Row", "counts_of", "harvest", "rows_of", "traces_of", "versions_of"]


async def harvest(
    config: HarvestConfig, task: Task, rows: Sequence[Row], services: Services, keep: Keep, bar: Bar, run_id: str, adapter: str
) -> None:
    """Bring every row to its end; a row that fails keeps its error. `adapter` is the student's that drafts.

    Raises UpstreamUnavailable when a service stays away and BudgetExceeded when the teacher's budget ends; a later call goes on.
    """
    steps = Steps(config, task, services, keep, run_id, adapter)

    async def carry(row: Row) -> None:
        await steps.carry(row)
        bar.advance()

    bar.advance(sum(row.finished for row in rows))
    await concurrently(config.concurrency, [row for row in rows if not row.finished], carry)
