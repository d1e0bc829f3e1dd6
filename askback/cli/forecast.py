"""`askback estimate`: what a run will cost, before anything is spent."""

import asyncio
import os
from typing import Annotated

import typer

from askback.cli.folders import RUNS
from askback.cli.options import ConfigFile, Data, Limit, Teacher
from askback.contracts.client import TeacherClient
from askback.contracts.service_client import api_key_in
from askback.local.one_service import teacher_at_hand
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.config import RunConfig, load_config, overridden
from askback.loop.estimate import Estimate
from askback.loop.estimate import estimate as forecast
from askback.loop.progress import Reporter
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import counter_for


def estimate(
    config: ConfigFile,
    run_id: Annotated[str, typer.Option("--id", help="A run that is begun or done: what it has is not counted again, and is compared.")] = "",
    data: Data = None,
    teacher: Teacher = None,
    limit: Limit = None,
    price_as: Annotated[str, typer.Option("--price-as", help="Price the teacher as this model of OpenAI's, such as gpt-4.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forecast a run's tokens and dollars, online and by batch, with and without what is cached. Nothing is bought.

    Examples:

      askback estimate configs/strategyqa.toml --data DIR --teacher openai

      askback estimate configs/strategyqa.toml --data DIR --price-as gpt-4
    """
    found = asyncio.run(_estimate(overridden(load_config(config), data, teacher, limit), run_id, price_as))
    typer.echo(found.model_dump_json(indent=1) if as_json else found.as_text())


async def _estimate(config: RunConfig, run_id: str, price_as: str) -> Estimate:
    settings = LocalSettings.of()
    store = RunStore(RUNS, run_id) if run_id else None
    with teacher_at_hand(settings, os.environ.get("TEACHER_URL", ""), Stack(settings, Reporter()).running()) as url:
        async with TeacherClient.at(url, api_key=api_key_in(os.environ)) as teacher:
            return await forecast(config, store, teacher, counter_for(settings.base_model), runs=RUNS, price_as=price_as)


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(estimate)
