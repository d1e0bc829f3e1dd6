"""The table of checks, and how they are run: side by side, each for two seconds at most."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from askback.local.doctor import card, containers, keys, network, services, software, storage, trainings
from askback.local.doctor.findings import Finding, Report, fail, warn
from askback.local.doctor.surroundings import Surroundings

Check = Callable[[Surroundings], Awaitable[list[Finding]]]

CHECKS: Mapping[str, Check] = {
    "python": software.python,
    "packages": software.packages,
    "model": software.base_model,
    "engine": software.engine_profile,
    "gpu": card.gpu,
    "gpu lock": card.gpu_lock,
    "trainings": trainings.workers,
    "memory": storage.memory,
    "volumes": storage.volumes,
    "keys": keys.keys,
    ".env": keys.dotenv,
    "ports": network.ports,
    "redis": network.redis,
    "docker": containers.docker,
    "containers": containers.containers,
    "services": services.services,
}
LIMIT_S = 2.0

log = logging.getLogger(__name__)


async def examine(surroundings: Surroundings, checks: Mapping[str, Check] = CHECKS, limit_s: float = LIMIT_S) -> Report:
    """All findings of `checks`, in their order. One that hangs or breaks is a finding too."""
    found = await asyncio.gather(*(_findings(name, check, surroundings, limit_s) for name, check in checks.items()))
    return Report(findings=[finding for findings in found for finding in findings])


async def _findings(name: str, check: Check, surroundings: Surroundings, limit_s: float) -> list[Finding]:
    try:
        async with asyncio.timeout(limit_s):
            found = await check(surroundings)
    except TimeoutError:
        remedy = "look again; if it stays so, what it looks at hangs: a driver, a mounted disk or a daemon"
        found = [warn(f"no answer within {limit_s:g} s", remedy)]
    except Exception as error:  # a check's border: the others' findings are worth as much without it
        log.debug("check %s", name, exc_info=error)
        broken = fail(f"the check itself failed: {type(error).__name__}: {error}", "please report this line")
        found = [broken.model_copy(update={"ours": True})]
    return [finding.model_copy(update={"check": name}) for finding in found]
