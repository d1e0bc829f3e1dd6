"""What an artefact was made with: versions, driver and the source tree's commit."""

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "liger_kernel")
_DRIVER = Path("/proc/driver/nvidia/version")
_GIT_TIMEOUT_S = 10.0


def versions(driver: Path = _DRIVER) -> dict[str, str]:
    """Python's version, and those of the packages and the NVIDIA driver that are there."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    number = re.search(r"\b\d+\.\d+(\.\d+)?\b", driver.read_text(encoding="utf-8")) if driver.is_file() else None
    return found | ({"nvidia_driver": number.group()} if number else {})


def source_commit(file: Path = Path(__file__), environment: Mapping[str, str] = os.environ) -> str:
    """The commit of the checkout that `file` lies in, with `-dirty` after it where tracked files were changed.

    Outside of a checkout it is ASKBACK_COMMIT, which an image's build sets; empty where that is not set either.
    """
    file = file.resolve()
    top = _git(file.parent, "rev-parse", "--show-toplevel")
    # An installed package may lie in somebody else's repository, whose commit says nothing about this code.
    if top and _git(file.parent, "ls-files", "--", file.name):
        return _git(file.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return environment.get("ASKBACK_COMMIT", "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)  # noqa: S603 - nothing comes from outside
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
