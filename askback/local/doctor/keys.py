"""Keys by their names, never by their values, and settings that a command would not see."""

import stat
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import aside
from askback.local.doctor.surroundings import Surroundings

_SHORT = 16


async def keys(surroundings: Surroundings) -> list[Finding]:
    """The services' own key, and those of the teacher's backends."""
    return [_own(surroundings.environment), *await aside(lambda: _backends(surroundings))]


def _own(environment: Mapping[str, str]) -> Finding:
    given = [key.strip() for key in environment.get("ASKBACK_API_KEY", "").split(",") if key.strip()]
    if not given:
        if environment.get("ASKBACK_HOST", "127.0.0.1") in ("127.0.0.1", "localhost", "::1"):
            return ok("ASKBACK_API_KEY: not set; the services are open to this machine alone")
        return fail("ASKBACK_API_KEY: not set, and ASKBACK_HOST opens the services to others", "set a key: openssl rand -hex 32")
    if any(not _sendable(key) for key in given):
        return fail("ASKBACK_API_KEY: holds characters that no header can carry", "use letters and digits: openssl rand -hex 32")
    if min(map(len, given)) < _SHORT:
        return warn(f"ASKBACK_API_KEY: set, with fewer than {_SHORT} characters", "use a longer one: openssl rand -hex 32")
    return ok(f"ASKBACK_API_KEY: set ({len(given)})")


def _backends(surroundings: Surroundings) -> list[Finding]:
    path = surroundings.teacher_config
    if surroundings.elsewhere and not path.is_file():
        return []
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
        backends: Sequence[Mapping[str, Any]] = config.get("backends", [])
        named = {str(one["api_key_env"]): str(one["name"]) for one in backends if one.get("api_key_env")}
        active = str(config.get("active", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [fail(f"TEACHER_CONFIG: {path} cannot be read ({type(error).__name__})", "mend the file, or name another")]
    return [_backend(surroundings, name, backend, backend == active) for name, backend in named.items()]


def _backend(surroundings: Surroundings, name: str, backend: str, is_active: bool) -> Finding:
    key = surroundings.environment.get(name, "").strip()
    if key:
        return ok(f"{name}: set") if _sendable(key) else fail(f"{name}: holds characters that no key has", "copy it again, without blanks and quotes")
    if is_active and not surroundings.elsewhere:
        return fail(
            f"{name}: not set, and the active backend {backend} needs it", f"set {name}, or make another backend active in the teacher's file"
        )
    return ok(f"{name}: not set; only backend {backend} needs it")


def _sendable(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


async def dotenv(surroundings: Surroundings) -> list[Finding]:
    """`.env`, which make and compose read, and askback does not."""
    path = surroundings.settings.root / ".env"
    if not await aside(path.is_file):
        return [ok("no .env; .env.example names all settings")]
    findings = []
    if stat.S_IMODE((await aside(path.stat)).st_mode) & 0o077:
        findings.append(warn(".env can be read by other users of this machine", "chmod 600 .env"))
    if surroundings.unsaid:
        names = ", ".join(sorted(surroundings.unsaid))
        text = f"make and docker compose read .env, askback alone does not: {names}"
        findings.append(warn(text, "use make's targets, or first: set -a; . ./.env; set +a"))
    return findings or [ok(".env is in the environment")]
