"""How commands reach the services: those that the environment names, else the embedded stack."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from typing import Any, TypeVar

from askback.contracts.service_client import api_key_in
from askback.local.processes import Processes
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.progress import Reporter
from askback.loop.services import Services, connect

Result = TypeVar("Result")


def named_elsewhere() -> dict[str, str]:
    """Service URLs that the environment sets: TEACHER_URL, STUDENT_URL, ..."""
    names = LocalSettings.of().urls()
    return {name: os.environ[f"{name.upper()}_URL"] for name in names if f"{name.upper()}_URL" in os.environ}


def stack_if_needed(reporter: Reporter) -> AbstractContextManager[None]:
    """The embedded stack for the length of a block, unless the environment names other services."""
    return nullcontext() if named_elsewhere() else Stack(LocalSettings.of(), reporter).started()


def tell_of_workers(at_once: int, reporter: Reporter) -> None:
    """Say so where a run hands over more trainings at a time than the embedded stack has workers; of services elsewhere nothing is known."""
    workers = 0 if named_elsewhere() else Processes(LocalSettings.of()).trainer_workers()
    if 0 < workers < at_once:
        reporter.say(
            f"train.at_once is {at_once} and {workers} trainer worker{'s run' if workers > 1 else ' runs'}: the other trainings wait; "
            f"askback down, then TRAINER_WORKERS={at_once}, runs them together"
        )


def with_services(work: Callable[[Services], Coroutine[Any, Any, Result]], check: bool = True) -> Result:
    """What `work` returns; with `check`, raises UpstreamUnavailable naming the services that are not ready."""

    async def inner() -> Result:
        async with AsyncExitStack() as stack:
            services = await connect(stack, {**LocalSettings.of().urls(), **named_elsewhere()}, api_key_in(os.environ))
            if check:
                await services.check()
            return await work(services)

    return asyncio.run(inner())
