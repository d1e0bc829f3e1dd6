"""`askback leaderboard`: the conditions of all scored runs side by side."""

import asyncio
import os
from typing import Annotated

import typer

from askback.cli.rich_tables import print_table
from askback.contracts.client import EvaluatorClient
from askback.contracts.evaluator import Leaderboard, LeaderboardRow
from askback.contracts.service_client import api_key_in
from askback.local.one_service import evaluator_at_hand
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.progress import Reporter

_COLUMNS = ("run", "condition", "metric", "score", "95 %", "n", "$/question", "p50 s", "unparsable", "failed", "scored")
_NUMBERS = frozenset({"score", "n", "$/question", "p50 s", "unparsable", "failed"})


def leaderboard(
    task: Annotated[str, typer.Option(help="Only runs of this task, such as strategyqa.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank the conditions of all scored runs, task by task. Those whose questions the gold facts answer come last, as an upper bound.

    Examples:

      askback leaderboard

      askback leaderboard --task hotpotqa --json
    """
    found = asyncio.run(_leaderboard(task))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    for name in dict.fromkeys(row.task for row in found.rows):
        print_table(name, _COLUMNS, [_cells(row) for row in found.rows if row.task == name], _NUMBERS)
    if not found.rows:
        typer.echo("no scored runs; `askback run configs/demo.toml` makes one")
    for run_id, reason in found.left_out.items():
        typer.echo(f"left out: {run_id}: {reason}", err=True)


async def _leaderboard(task: str) -> Leaderboard:
    settings = LocalSettings.of()
    with evaluator_at_hand(settings, os.environ.get("EVALUATOR_URL", ""), Stack(settings, Reporter()).running()) as url:
        async with EvaluatorClient.at(url, api_key=api_key_in(os.environ)) as evaluator:
            return await evaluator.leaderboard(task)


def _cells(row: LeaderboardRow) -> list[str]:
    first = row.metric
    return [
        row.run_id,
        row.condition,
        first.name,
        f"{100 * first.value:.1f}",
        f"{100 * first.low:.1f} to {100 * first.high:.1f}",
        str(row.n),
        "–" if row.usd is None else f"{row.usd:.5f}",
        "–" if row.latency_p50_s is None else f"{row.latency_p50_s:.2f}",
        str(row.unparsable),
        str(row.failed),
        row.scored_at[:16].replace("T", " "),
    ]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(leaderboard)
