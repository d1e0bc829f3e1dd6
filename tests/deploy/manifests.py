"""What kustomize makes of deploy/kubernetes, as plain objects, for the tests beside this file."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "gpu-one-card", "gpu-ingress")
NAME = "app.kubernetes.io/name"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH (Debian: kubernetes-client)")


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    """The objects of the kustomization in `folder`."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> tuple[Manifest, ...]:
    """The objects of an overlay, and those of a run inside of it that it does not have itself."""
    objects = rendered(KUBERNETES / "overlays" / name)
    known = {key(manifest) for manifest in objects}
    return (*objects, *(manifest for manifest in rendered(KUBERNETES / "run") if key(manifest) not in known))


def key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in objects if manifest["kind"] in kinds]


def workloads(objects: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Pod templates by what runs in them."""
    templates = [manifest["spec"]["template"] for manifest in of_kind(objects, "Deployment", "StatefulSet", "Job")]
    return {template["metadata"]["labels"][NAME]: template for template in templates}


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def environment(objects: tuple[Manifest, ...], container: Manifest) -> dict[str, str]:
    """Variables of a container; a secret's or a resource's value is empty."""
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind(objects, "ConfigMap")}
    shared = [maps[source["configMapRef"]["name"]] for source in container.get("envFrom", [])]
    own = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    return {name: value for source in (*shared, own) for name, value in source.items()}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector with `matchLabels` and `In` picks `labels`."""
    wanted = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        wanted = wanted and labels.get(expression["key"]) in expression["values"]
    return wanted
