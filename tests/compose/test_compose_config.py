"""Every combination of the compose files is sound and shut. Needs Docker's client alone, so it runs with the unit tests."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compose_stack import docker_missing

ROOT = Path(__file__).parents[2]
FILES = [["docker-compose.yml"], ["docker-compose.yml", "compose.cpu.yml"], ["docker-compose.yml", "compose.cpu.yml", "compose.secrets.yml"]]
PROFILES = [list(chosen) for count in range(4) for chosen in itertools.combinations(["cli", "observability", "qdrant"], count)]
OURS = {"teacher", "student", "student-engine", "retriever", "trainer", "trainer-worker", "evaluator", "evaluator-worker", "redis"}

pytestmark = pytest.mark.skipif(docker_missing() not in ("", "no Docker engine answers"), reason=docker_missing() or "-")


def config(files: list[str], profiles: list[str], tmp_path: Path) -> dict[str, Any]:
    empty = tmp_path / "empty.env"
    empty.write_text("")
    named = [part for file in files for part in ("-f", file)] + [part for profile in profiles for part in ("--profile", profile)]
    command = ["docker", "compose", "--env-file", str(empty), *named, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("profiles", PROFILES, ids="+".join)
@pytest.mark.parametrize("files", FILES, ids=lambda files: "+".join(Path(file).stem for file in files))
def test_every_combination_is_clean(files: list[str], profiles: list[str], tmp_path: Path) -> None:
    services = config(files, profiles, tmp_path)["services"]
    assert services.keys() >= OURS
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert service["read_only"] and service["init"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and int(service["mem_limit"]) > 0, name
        assert service.get("privileged") is None and "/var/run/docker.sock" not in str(service), name
        if name not in ("cli", "base-model"):
            assert service["healthcheck"]["test"] and service["stop_grace_period"] == "10s", name
    for closed in ("redis", "student-engine", "trainer-worker", "evaluator-worker"):
        assert not services[closed].get("ports"), closed


def test_the_cpu_file_takes_no_card(tmp_path: Path) -> None:
    on_gpu, on_cpu = (config(files, [], tmp_path)["services"] for files in FILES[:2])
    for name in ("student-engine", "trainer-worker"):
        assert on_gpu[name]["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
        assert not on_cpu[name].get("deploy")
    assert on_gpu["trainer-worker"]["environment"]["GPU_LOCK"] == on_gpu["student"]["environment"]["GPU_LOCK"] == "/gpu/lock"


@pytest.mark.parametrize("file", sorted(ROOT.glob("**/*Dockerfile")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_dockerfile_is_short_pinned_and_not_root(file: Path) -> None:
    if {".venv", "var"} & set(file.relative_to(ROOT).parts):
        pytest.skip("not the project's")
    lines = file.read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert len(lines) <= 15
    assert bases and all(":" in base and not base.endswith(":latest") for base in bases)
    assert "USER 10001" in lines
    assert not any(word in line for line in lines for word in ("KEY=", "TOKEN=", "PASSWORD=", "ADD http"))
