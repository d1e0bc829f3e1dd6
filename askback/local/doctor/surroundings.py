"""What the checks look at: settings, addresses, the kind of stack."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askback.contracts.service_client import api_key_in
from askback.local.processes import Processes
from askback.local.settings import LocalSettings

_SETTING = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True)
class Surroundings:
    """The machine as one command finds it."""

    environment: Mapping[str, str]
    settings: LocalSettings
    urls: Mapping[str, str]
    """Base URL of each service by name: those that the environment names, or those of a stack on this machine."""
    elsewhere: bool
    """Whether the environment names services, so that no stack is started here."""
    embedded_is_up: bool
    unsaid: frozenset[str] = frozenset()
    """Names that stand in `.env` and not in the command's own environment."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Surroundings":
        """From `environment` and, where it is silent, `.env`, as `make` and `docker compose` read it.

        Raises InvalidInput for an ASKBACK_PORT that is no port.
        """
        written = read_dotenv(Path(".env"))
        unsaid = frozenset(name for name in written if name not in environment)
        environment = {**written, **environment}
        settings = LocalSettings.of(environment)
        embedded_is_up = Processes(settings).running()
        local = settings.urls() | ({} if embedded_is_up else _published(environment))
        named = {name: url for name in local if (url := environment.get(f"{name.upper()}_URL"))}
        if named:
            local.pop("engine")  # the student speaks for it
        return cls(environment, settings, {**local, **named}, bool(named), embedded_is_up, unsaid)

    @property
    def key(self) -> str:
        """The key that the services are asked with; empty for none."""
        return api_key_in(self.environment)

    @property
    def engine_config(self) -> Path:
        return Path(self.environment.get("ENGINE_CONFIG") or self.settings.root / "configs" / "engine.toml")

    @property
    def teacher_config(self) -> Path:
        return Path(self.environment.get("TEACHER_CONFIG") or self.settings.root / "configs" / "teacher.toml")

    @property
    def profile_name(self) -> str:
        return self.environment.get("ENGINE_PROFILE") or "cpu"

    @property
    def wants_card(self) -> bool:
        """Whether the engine's profile is for a GPU."""
        return self.profile_name != "cpu"

    def profile(self) -> dict[str, Any] | None:
        """The engine's profile with what it extends, or None where it cannot be read."""
        try:
            tables: dict[str, dict[str, Any]] = tomllib.loads(self.engine_config.read_text(encoding="utf-8"))["profiles"]
            own = dict(tables[self.profile_name])
            return (tables[own.pop("extends")] if "extends" in own else {}) | own
        except (OSError, KeyError, TypeError, ValueError):
            return None

    @property
    def compose_file(self) -> Path | None:
        return next((path for name in _COMPOSE_FILES if (path := self.settings.root / name).is_file()), None)


def _published(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the compose stack publishes the services whose port the environment names: TEACHER_PORT, STUDENT_PORT, ..."""
    given = {name: environment.get(f"{name.upper()}_PORT", "") for name in ("teacher", "student", "retriever", "trainer", "evaluator")}
    return {name: f"http://127.0.0.1:{port}" for name, port in given.items() if port.isdigit()}


def read_dotenv(path: Path) -> dict[str, str]:
    """The lines NAME=VALUE of a file; empty for a file that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = (_SETTING.fullmatch(line.strip()) for line in lines)
    return {match[1]: match[2].strip().strip("\"'") for match in found if match}
