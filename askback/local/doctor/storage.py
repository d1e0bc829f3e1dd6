"""Room and right to write where the stack keeps things, and memory."""

import asyncio
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import aside
from askback.local.doctor.surroundings import Surroundings

_GIB = 2**30
_LEAST_GIB, _ENOUGH_GIB = 1.0, 10.0
_FOLDERS = ("RUNS_DIR", "MODELS_DIR", "JOBS_DIR", "INDEX_DIR", "CACHE_DIR", "ADAPTERS_CACHE")
_STACK_GIB = 4.0  # the embedded stack with its engine and one training


async def volumes(surroundings: Surroundings) -> list[Finding]:
    """The folders of runs, models, jobs and indexes: free room, and whether this user may write there."""
    if surroundings.elsewhere:
        folders = {"runs": surroundings.settings.root / "runs"}
    else:
        home, given = surroundings.settings.home, surroundings.environment
        folders = {"runs": surroundings.settings.root / "runs", "ASKBACK_HOME": home, "models": home / "models"}
        folders |= {name: Path(text) for name in _FOLDERS if (text := given.get(name, "")).startswith(("/", "."))}  # not a URL, nor a volume's name
    return await asyncio.gather(*(aside(partial(_volume, name, path)) for name, path in folders.items()))


def _volume(name: str, path: Path) -> Finding:
    path = path.absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        return fail(f"{name}: {there} is a file", f"give {name} a folder")
    complaint = _not_writable(there)
    if complaint:
        return fail(f"{name}: {there} cannot be written ({complaint})", f"chown it to user {os.getuid()}, or give {name} another folder")
    free = shutil.disk_usage(there).free / _GIB
    text = f"{name}: {free:.1f} GiB free at {path}"
    if free < _LEAST_GIB:
        return fail(text, "remove old runs, or put it on a larger volume")
    return ok(text) if free >= _ENOUGH_GIB else warn(text, "a run with trainings of a 7 B model takes 10 GiB and more; make room")


def _not_writable(folder: Path) -> str:
    """Empty when a file can be made in `folder`; it has no name there, so nothing is left of it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def memory(surroundings: Surroundings) -> list[Finding]:
    """The machine's memory, against what the embedded stack takes."""
    free = await aside(lambda: _available_gib(Path("/proc/meminfo")))
    if free is None:
        return [ok("the machine does not tell how much memory is free")]
    if not surroundings.elsewhere and not surroundings.embedded_is_up and free < _STACK_GIB:
        return [
            warn(
                f"{free:.1f} GiB of memory are free, and the embedded stack takes {_STACK_GIB:.0f}", "end other programs, or name services elsewhere"
            )
        ]
    return [ok(f"{free:.1f} GiB of memory free")]


def _available_gib(path: Path) -> float | None:
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return next((int(line.split()[1]) * 1024 / _GIB for line in lines if line.startswith("MemAvailable:")), None)
