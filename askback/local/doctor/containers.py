"""Docker, compose, the runtime for NVIDIA's cards, and the containers of this stack; where there is a compose file."""

import asyncio
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import Ended, aside, run
from askback.local.doctor.surroundings import Surroundings

_OLDEST_ENGINE, _OLDEST_COMPOSE = (25, 0), (2, 24)  # for start_interval and !reset
_GIB = 2**30
_LEAST_GIB, _ENOUGH_GIB = 5.0, 40.0


async def docker(surroundings: Surroundings) -> list[Finding]:
    """The engine, compose, and room for images and volumes."""
    if surroundings.compose_file is None:
        return [ok("no compose file in this folder")]
    env = surroundings.environment
    info, compose = await asyncio.gather(run(env, "docker", "info", "--format", "{{json .}}"), run(env, "docker", "compose", "version", "--short"))
    if info is None:
        return [ok("docker is not installed; only the compose stack needs it")]
    facts = _facts(info)
    if not facts.get("ServerVersion"):
        return [warn(f"docker does not answer: {_complaint(info, facts)}", "start it (systemctl start docker), and add yourself to the group docker")]
    findings = [_version("docker", str(facts["ServerVersion"]), _OLDEST_ENGINE, "update Docker"), _compose_version(compose)]
    if surroundings.wants_card:
        findings.append(_runtime(surroundings, facts))
    root = Path(str(facts.get("DockerRootDir", "")))
    if await aside(root.is_dir):
        findings.append(_room(root, (await aside(lambda: shutil.disk_usage(root))).free / _GIB))
    return findings


def _facts(info: Ended) -> dict[str, Any]:
    try:
        facts = json.loads(info.out)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _complaint(info: Ended, facts: dict[str, Any]) -> str:
    return str((facts.get("ServerErrors") or [info.complaint])[0])


def _version(name: str, text: str, oldest: Sequence[int], remedy: str) -> Finding:
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if numbers < tuple(oldest):
        return warn(f"{name} {text} is older than {'.'.join(map(str, oldest))}, which the compose file is written for", remedy)
    return ok(f"{name} {text}")


def _compose_version(compose: Ended | None) -> Finding:
    if compose is None or compose.code:
        return warn("docker has no compose command", "install Docker's compose plugin")
    return _version("compose", compose.out.strip(), _OLDEST_COMPOSE, "update Docker's compose plugin")


def _runtime(surroundings: Surroundings, facts: dict[str, Any]) -> Finding:
    tools = ("nvidia-ctk", "nvidia-container-cli")
    if "nvidia" in (facts.get("Runtimes") or {}) or any(shutil.which(tool, path=surroundings.environment.get("PATH")) for tool in tools):
        return ok("docker can lend NVIDIA's cards to containers")
    text = f"profile {surroundings.profile_name} wants a GPU, and docker cannot lend one"
    return fail(text, "install nvidia-container-toolkit, then: nvidia-ctk runtime configure && systemctl restart docker")


def _room(root: Path, free: float) -> Finding:
    text = f"{free:.1f} GiB free at {root}, for images and volumes"
    if free < _LEAST_GIB:
        return fail(text, "docker system df shows what takes the room; docker builder prune frees build caches")
    return ok(text) if free >= _ENOUGH_GIB else warn(text, "the GPU images take about 40 GiB")


async def containers(surroundings: Surroundings) -> list[Finding]:
    """The compose stack's containers: which do not run, or are not healthy."""
    if surroundings.compose_file is None:
        return [ok("no compose file in this folder")]
    listed = await run(surroundings.environment, "docker", "compose", "ps", "--all", "--format", "json")
    if listed is None or listed.code:
        return (
            [ok("no containers can be listed")] if listed is None else [warn(f"docker compose ps: {listed.complaint}", "see the findings for docker")]
        )
    try:
        found = _containers(listed.out)
    except ValueError:
        return [warn("docker compose ps lists no JSON", "update Docker's compose plugin")]
    if not found:
        return [ok("the compose stack is not up")]
    findings = [finding for one in found if (finding := _unwell(one))]
    return findings or [ok(f"{len(found)} containers of the compose stack are well")]


def _containers(text: str) -> list[dict[str, Any]]:
    """Compose writes a list, or from 2.21 on an object in each line."""
    parsed = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [one for item in parsed for one in (item if isinstance(item, list) else [item])]


def _unwell(container: dict[str, Any]) -> Finding | None:
    name, state, health = container.get("Service", "?"), container.get("State", ""), container.get("Health", "")
    logs = f"docker compose logs {name} says why"
    if state == "exited" and container.get("ExitCode") == 0:
        return None
    if state != "running":
        return fail(
            f"{name} is {state or 'in no known state'} (exit code {container.get('ExitCode')})", f"{logs}; docker compose up -d {name} starts it"
        )
    if health == "unhealthy":
        return fail(f"{name} runs and is not ready", logs)
    return warn(f"{name} is starting", f"wait a minute; {logs}") if health == "starting" else None
