"""Each service: does it answer, can it serve, is it of this version, and do the keys agree."""

import asyncio
from urllib.parse import urlsplit

import httpx

from askback import __version__
from askback.contracts.teacher import BackendsResponse
from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import fields_of, get
from askback.local.doctor.surroundings import Surroundings

_ASLEEP = "the engine is asleep while"


async def services(surroundings: Surroundings) -> list[Finding]:
    """One finding for each service that is to run, or a single one where none does."""
    names = list(surroundings.urls)
    alive = await asyncio.gather(*(get(f"{surroundings.urls[name]}/{'health' if name == 'engine' else 'healthz'}") for name in names))
    if not any(answer is not None for answer in alive) and not surroundings.elsewhere and not surroundings.embedded_is_up:
        return [ok("none runs here: `askback run` starts the embedded stack, `docker compose up -d --wait` the other")]
    found = await asyncio.gather(*(_service(surroundings, name, answer) for name, answer in zip(names, alive, strict=True)))
    return [finding for findings in found for finding in findings]


async def _service(surroundings: Surroundings, name: str, alive: httpx.Response | None) -> list[Finding]:
    url = surroundings.urls[name]
    if name == "engine" and not surroundings.embedded_is_up:
        return []  # a compose stack publishes no port for it; the student speaks for it
    if alive is None:
        return [fail(f"{name} at {url} does not answer", _start(surroundings, name))]
    if name == "engine":
        return [
            ok(f"engine at {url} answers") if alive.status_code == 200 else fail(f"engine at {url}: {alive.status_code}", _start(surroundings, name))
        ]
    told = fields_of(alive)
    if alive.status_code >= 500 and told.get("service", name) == name:
        broken = fail(f"{name} at {url}: /healthz answered {alive.status_code}", "please report it, with the service's log")
        return [broken.model_copy(update={"ours": True})]
    if told.get("service") != name:
        return [fail(f"at {url} answers {told.get('service', 'something')!r} in place of the {name}", f"correct {name.upper()}_URL")]
    ready, keyed, bare = await asyncio.gather(get(f"{url}/readyz"), get(f"{url}/metrics", surroundings.key), get(f"{url}/metrics"))
    version = told.get("version", "unknown")
    findings = [_ready(surroundings, name, version, ready), _key(surroundings, name, keyed, bare), _same_version(name, version)]
    if name == "teacher":
        findings.append(await _active_backend(surroundings))
    return [finding for finding in findings if finding]


def _ready(surroundings: Surroundings, name: str, version: str, ready: httpx.Response | None) -> Finding:
    if ready is not None and ready.status_code == 200:
        return ok(f"{name} {version} at {surroundings.urls[name]} is ready")
    status = fields_of(ready).get("status", "it does not say why within 1.5 s")
    if status.startswith(_ASLEEP):
        return warn(f"{name}: {status}", "wait until the training is over, or cancel it at the trainer")
    return fail(f"{name} at {surroundings.urls[name]} is not ready: {status}", f"mend what it names; {_log(surroundings, name)}")


def _key(surroundings: Surroundings, name: str, keyed: httpx.Response | None, bare: httpx.Response | None) -> Finding | None:
    url = surroundings.urls[name]
    if keyed is not None and keyed.status_code == 401:
        what = "another ASKBACK_API_KEY" if surroundings.key else "an ASKBACK_API_KEY, and none is set here"
        return fail(f"{name} at {url} wants {what}", "set ASKBACK_API_KEY here to one of the service's keys")
    if bare is not None and bare.status_code == 200:
        if surroundings.key:
            return warn(f"{name} at {url} asks for no key, though one is set here", "start it again with ASKBACK_API_KEY")
        if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
            return warn(f"{name} at {url} is open to all who reach it", "set ASKBACK_API_KEY there and here")
    return None


async def _active_backend(surroundings: Surroundings) -> Finding | None:
    """What keeps the teacher's active backend from answering, as the teacher itself says."""
    answer = await get(f"{surroundings.urls['teacher']}/v1/backends", surroundings.key)
    if answer is None or answer.status_code != 200:
        return None
    missing = [one for one in BackendsResponse.model_validate_json(answer.content).backends if one.active and one.missing]
    return (
        fail(f"teacher: backend {missing[0].name} is active, and {missing[0].missing}", "set it, or make another backend active") if missing else None
    )


def _same_version(name: str, version: str) -> Finding | None:
    if version in (__version__, "unknown"):
        return None if version == __version__ else warn(f"{name} does not tell its version", f"upgrade it to {__version__}")
    return warn(f"{name} is of version {version}, this command of {__version__}", "upgrade the older of the two")


def _start(surroundings: Surroundings, name: str) -> str:
    if surroundings.elsewhere:
        return f"start it, or correct {name.upper()}_URL"
    return f"{_log(surroundings, name)}; askback down && askback up starts {'all again' if surroundings.embedded_is_up else 'the embedded stack'}"


def _log(surroundings: Surroundings, name: str) -> str:
    if surroundings.embedded_is_up:
        return f"{surroundings.settings.home}/log/{name}.log says why"
    return "its log says more" if surroundings.elsewhere else f"docker compose logs {name} says why"
