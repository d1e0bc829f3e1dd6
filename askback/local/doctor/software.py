"""Python, packages, the base model and the engine's profile."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from askback import __version__
from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import aside
from askback.local.doctor.surroundings import Surroundings

_OLDEST = (3, 11)
_PACKAGES = {
    "supervisor": "local",
    "vllm": "local",
    "fastapi": "teacher",
    "aiohttp": "teacher",
    "faiss": "retriever",
    "celery": "trainer",
    "trl": "trainer",
    "pptx": "evaluator",
}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
_SHOWN = 3
_CONTAINERS_MODELS = "/models"  # where the compose file mounts the volume of models


async def python(_: Surroundings) -> list[Finding]:
    """The interpreter and this package."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST:
        return [fail(f"Python {found} is too old", "install Python 3.11 or newer and make the environment anew: make install PYTHON=...")]
    return [ok(f"Python {found}, askback {__version__}")]


async def packages(surroundings: Surroundings) -> list[Finding]:
    """What the embedded stack imports, and whether it is what constraints.txt pins."""
    if surroundings.elsewhere:
        return [ok("the services run elsewhere, with packages of their own")]
    missing = {name: extra for name, extra in _PACKAGES.items() if find_spec(name) is None}
    if missing:
        extras = ",".join(sorted(set(missing.values())))
        return [
            warn(f"the embedded stack lacks {', '.join(missing)}", f"make install (or pip install 'askback[{extras}]'); the compose stack needs none")
        ]
    other = await aside(lambda: _other_versions(surroundings.settings.root / "constraints.txt"))
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        return [warn(f"not as in constraints.txt: {', '.join(other[:_SHOWN])}{more}", "make install")]
    return [ok("all packages of the embedded stack, as in constraints.txt")]


def _other_versions(constraints: Path) -> list[str]:
    pins = _PIN.findall(constraints.read_text(encoding="utf-8")) if constraints.is_file() else []
    installed = _installed()
    pairs = [(name, installed[name].partition("+")[0], pin.partition("+")[0]) for name, pin in pins if name in installed]  # +cpu names a build
    return [f"{name} {version} (pinned {pin})" for name, version, pin in pairs if version != pin]


def _installed() -> dict[str, str]:
    """Versions by name, told from the folders' names: reading what they hold takes seconds."""
    found: dict[str, str] = {}
    for folder in reversed([Path(entry or ".") for entry in sys.path]):  # the first on the path is what is imported
        names = [path.name.removesuffix(".dist-info") for path in folder.glob("*.dist-info")]
        found |= {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (one.rpartition("-") for one in names)}
    return found


async def base_model(surroundings: Surroundings) -> list[Finding]:
    """The student's weights, where this machine is to load them."""
    settings = surroundings.settings
    path = Path(settings.base_model)
    if surroundings.elsewhere:
        return [ok("the services run elsewhere, with a model of their own")]
    if await aside(lambda: (path / "config.json").is_file()):
        return [ok(str(path))]
    if settings.embedded:
        return [ok(f"{path.name} is built at the first start, in half a minute")]
    if settings.base_model.count("/") == 1 and not settings.base_model.startswith((".", "/", "~")):
        return [warn(f"{settings.base_model} is a hub's name, which the embedded stack does not load", "give BASE_MODEL a folder, or use compose")]
    if path.is_relative_to(_CONTAINERS_MODELS):
        return [warn(f"BASE_MODEL: {path} is a folder of the compose stack alone", "for the embedded stack give BASE_MODEL a folder of this machine")]
    return [fail(f"BASE_MODEL: {path} has no config.json", "give BASE_MODEL the folder of a transformers model")]


async def engine_profile(surroundings: Surroundings) -> list[Finding]:
    """The named flags of vLLM's server."""
    config, name = surroundings.engine_config, surroundings.profile_name
    if surroundings.elsewhere and not config.is_file():
        return [ok("the engine runs elsewhere")]
    profile = await aside(surroundings.profile)
    if profile is None:
        return [fail(f"ENGINE_PROFILE: {name!r} cannot be read from {config}", "name one of its profiles, such as cpu or 24gb")]
    if surroundings.environment.get("GPU_LOCK") and not profile.get("sleep_mode", True):
        remedy = "unset GPU_LOCK, or choose a profile with sleep_mode"
        return [fail(f"GPU_LOCK is set and profile {name} cannot sleep, so no training would get the card", remedy)]
    return [ok(f"profile {name}: {profile.get('max_num_seqs')} answers at a time, {profile.get('max_model_len')} tokens each at most")]
