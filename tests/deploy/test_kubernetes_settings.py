"""Every variable, path and file of the manifests is one that the code knows."""

import re
from pathlib import Path

import pytest
import yaml

from askback.local.settings import LocalSettings
from services.student.engine_profiles import read_profiles
from tests.deploy.manifests import OVERLAYS, ROOT, Manifest, containers, environment, needs_kubectl, of_kind, overlay, workloads

pytestmark = needs_kubectl
OTHERS_READ = {  # variables that no code of ours reads, and who does
    "HOME": "caches of libraries",
    "LOGNAME": "torch",
    "HF_HOME": "huggingface_hub",
    "HF_HUB_OFFLINE": "huggingface_hub",
    "HF_TOKEN": "huggingface_hub",
    "DO_NOT_TRACK": "vllm",
    "VLLM_NO_USAGE_STATS": "vllm",
    "VLLM_CPU_KVCACHE_SPACE": "vllm",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "vllm",
    "OMP_NUM_THREADS": "OpenMP",
    "OMP_WAIT_POLICY": "OpenMP",
    "REDISCLI_AUTH": "redis-cli",
}
FOLDERS = {"student-engine": "student", "model": "student", "trainer-worker": "trainer", "evaluator-worker": "evaluator"}


def names_in(pattern: str, *files: Path) -> set[str]:
    return {name for file in files for name in re.findall(pattern, file.read_text(encoding="utf-8"))}


def read_by_code(app: str) -> set[str]:
    """Variables that the code of what runs as `app` names."""
    if app == "loop":
        return {"ASKBACK_API_KEY"} | {f"{name.upper()}_URL" for name in LocalSettings(ROOT, ROOT, 8000, "").urls()}
    if app == "redis":
        return names_in(r"\$\{(\w+)", ROOT / "deploy/redis/start.sh")
    services = ROOT / "services"
    files = [*(services / FOLDERS.get(app, app)).rglob("*.py"), *services.glob("*.py"), *(ROOT / "askback/contracts").glob("*.py")]
    keys = names_in(r'\napi_key_env = "(\w+)"', ROOT / "configs/teacher.toml") if app == "teacher" else set()
    return names_in(r'"([A-Z][A-Z0-9_]+)"', *files) | keys


def read_by_commands(objects: tuple[Manifest, ...], container: Manifest) -> set[str]:
    """Variables that the container's command, or another of its variables, is made of."""
    texts = [*container.get("command", []), *environment(objects, container).values()]
    return set(re.findall(r"\$[({]?(\w+)", " ".join(texts)))


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_variable_is_read(name: str) -> None:
    objects = overlay(name)
    for app, template in workloads(objects).items():
        for container in containers(template):
            own = {variable["name"] for variable in container.get("env", [])}
            unread = own - read_by_code(app) - read_by_commands(objects, container) - OTHERS_READ.keys()
            assert not unread, f"{app}: {unread}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_shared_variable_is_read_by_some(name: str) -> None:
    objects = overlay(name)
    (shared,) = (manifest["data"] for manifest in of_kind(objects, "ConfigMap") if manifest["metadata"]["name"].startswith("askback-settings"))
    read = {
        variable
        for app, template in workloads(objects).items()
        for container in containers(template)
        for variable in read_by_code(app) | read_by_commands(objects, container)
    }
    assert not shared.keys() - read - OTHERS_READ.keys()


@pytest.mark.parametrize("name", OVERLAYS)
def test_paths_in_the_settings_lie_in_volumes(name: str) -> None:
    objects = overlay(name)
    for app, template in workloads(objects).items():
        container = template["spec"]["containers"][0]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        own = [variable.get("value", "") for variable in container.get("env", [])]
        assert not [path for path in own if path.startswith("/") and not any(Path(path).is_relative_to(mount) for mount in mounts)], app


@pytest.mark.parametrize("name", OVERLAYS)
def test_those_who_need_the_base_model_have_its_volume(name: str) -> None:
    objects = overlay(name)
    for app in ("model", "student-engine", "trainer", "trainer-worker"):
        container = workloads(objects)[app]["spec"]["containers"][0]
        (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "models")
        assert Path(environment(objects, container)["BASE_MODEL"]).parent == Path(mount["mountPath"])
        assert mount.get("readOnly", False) == (app != "model")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_profile_is_one_of_the_engines(name: str) -> None:
    objects = overlay(name)
    engine = workloads(objects)["student-engine"]["spec"]["containers"][0]
    assert environment(objects, engine)["ENGINE_PROFILE"] in read_profiles(ROOT / "configs" / "engine.toml")


def test_every_configuration_is_shipped_and_no_other() -> None:
    generated = yaml.safe_load((ROOT / "configs/kustomization.yaml").read_text(encoding="utf-8"))["configMapGenerator"]
    assert sorted(file for generator in generated for file in generator["files"]) == sorted(path.name for path in (ROOT / "configs").glob("*.toml"))
