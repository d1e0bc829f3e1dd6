"""A container of the manifests as a process of this machine: its command, its variables, its mounts below a folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.manifests import ROOT, Manifest, environment, of_kind, overlay

SECRET = "secret"
_CONFIG_MAPS = {"askback-teacher": "app/configs", "askback-engine": "app/configs", "askback-sample": "app/data/sample/strategyqa"}


def settings_of(container: Manifest, folder: Path, redis_port: int) -> dict[str, str]:
    """The container's variables, with paths below `folder`, the test's Redis, and each key's value `secret`."""
    given = environment(overlay("cpu"), container)
    mounts = tuple(mount["mountPath"] for mount in container["volumeMounts"])
    moved = {name: f"{folder}{value}" if value.startswith(mounts) else value for name, value in given.items()}
    at_redis = {name: value.replace("$(REDIS_PASSWORD)", SECRET).replace("redis:6379", f"127.0.0.1:{redis_port}") for name, value in moved.items()}
    keys = {name: SECRET for name in given if name.endswith(("_KEY", "_PASSWORD"))}
    return {**os.environ, **at_redis, **keys, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def lay_out(container: Manifest, folder: Path) -> None:
    """The container's mounts below `folder`, with the ConfigMaps' files."""
    for mount in container["volumeMounts"]:
        (folder / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    for manifest in of_kind(overlay("cpu"), "ConfigMap"):
        place = folder / _CONFIG_MAPS.get(manifest["metadata"]["name"].rpartition("-")[0], "others")
        place.mkdir(parents=True, exist_ok=True)
        for file, text in manifest["data"].items():
            (place / file).write_text(text, encoding="utf-8")


@contextmanager
def started(container: Manifest, folder: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The container's command, whose log is `folder/log`; ended with the block, which fails when it does not end in its time."""
    lay_out(container, folder)
    command = [sys.executable, *(word.replace("=/tmp/", f"={folder}/tmp/") for word in [*container["command"][1:], *container.get("args", [])])]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=settings, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def written_elsewhere(container: Manifest, folder: Path) -> set[str]:
    """What the process left in its working folder beside its mounts; in the container that folder cannot be written."""
    mounts = {Path(mount["mountPath"]).parts[1] for mount in container["volumeMounts"]}
    return {path.name for path in folder.iterdir()} - mounts - {"app", "others", "log"}
