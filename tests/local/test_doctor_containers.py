"""What the doctor says of Docker, its runtime for NVIDIA's cards and the compose stack's containers."""

import json
from pathlib import Path
from typing import Any

import pytest
from doctor_stage import Machine, brief

from askback.local.doctor import containers

INFO = {"ServerVersion": "28.4.0", "Runtimes": {"runc": {}, "nvidia": {}}, "DockerRootDir": "/"}
WELL = {"Service": "teacher", "State": "running", "Health": "healthy", "ExitCode": 0}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write("docker-compose.yml", "services: {}\n")
    return machine


def docker(machine: Machine, info: dict[str, Any] | str, compose: str = "2.39.4", ps: str = "", ps_code: int = 0) -> None:
    """Put a docker on the PATH that answers `info`, `compose version` and `compose ps`."""
    (machine.root / "info").write_text(info if isinstance(info, str) else json.dumps(info))
    (machine.root / "ps").write_text(ps)
    version = f"echo {compose}" if compose else "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"
    cases = [f"info*) cat {machine.root}/info ;;", f"'compose version'*) {version} ;;", f"'compose ps'*) cat {machine.root}/ps; exit {ps_code} ;;"]
    machine.command("docker", 'case "$*" in\n' + "\n".join(cases) + "\nesac")


async def test_without_docker_or_compose_file_nothing_is_wrong(machine: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    surroundings = machine.surroundings(PATH=str(empty))
    assert brief(await containers.docker(surroundings)) == [("ok", "docker is not installed; only the compose stack needs it")]
    assert brief(await containers.containers(surroundings)) == [("ok", "no containers can be listed")]
    (machine.root / "docker-compose.yml").unlink()
    assert [level for level, _ in brief(await containers.docker(surroundings) + await containers.containers(surroundings))] == ["ok", "ok"]


async def test_a_daemon_that_does_not_answer_is_told_in_its_own_words(machine: Machine) -> None:
    docker(machine, {"ServerErrors": ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."], "ServerVersion": ""})
    (found,) = brief(await containers.docker(machine.surroundings()))
    assert found == ("warn", "docker does not answer: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    docker(machine, "permission denied")
    assert brief(await containers.docker(machine.surroundings())) == [("warn", "docker does not answer: permission denied")]


async def test_versions_room_and_runtime(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers.shutil, "disk_usage", lambda _: type("U", (), {"free": 100 * 2**30}))
    docker(machine, INFO)
    found = brief(await containers.docker(machine.surroundings(ENGINE_PROFILE="24gb")))
    assert [level for level, _ in found] == ["ok"] * 4 and "can lend NVIDIA's cards" in found[2][1]
    docker(machine, INFO | {"ServerVersion": "20.10.24+dfsg1", "Runtimes": {"runc": {}}}, compose="v2.20.2")
    found = brief(await containers.docker(machine.surroundings(ENGINE_PROFILE="24gb")))
    assert [level for level, _ in found] == ["warn", "warn", "fail", "ok"]
    machine.command("nvidia-ctk", "")
    assert brief(await containers.docker(machine.surroundings(ENGINE_PROFILE="24gb")))[2][0] == "ok"
    docker(machine, INFO, compose="")
    assert ("warn", "docker has no compose command") in brief(await containers.docker(machine.surroundings()))
    monkeypatch.setattr(containers.shutil, "disk_usage", lambda _: type("U", (), {"free": 2**30}))
    assert brief(await containers.docker(machine.surroundings()))[-1] == ("fail", "1.0 GiB free at /, for images and volumes")


@pytest.mark.parametrize("as_list", [True, False])
async def test_containers_that_are_not_well_are_named(machine: Machine, as_list: bool) -> None:
    listed = [
        WELL,
        {"Service": "base-model", "State": "exited", "Health": "", "ExitCode": 0},
        {"Service": "trainer", "State": "exited", "Health": "", "ExitCode": 137},
        {"Service": "student", "State": "running", "Health": "unhealthy", "ExitCode": 0},
        {"Service": "retriever", "State": "running", "Health": "starting", "ExitCode": 0},
    ]
    docker(machine, INFO, ps=json.dumps(listed) if as_list else "\n".join(map(json.dumps, listed)))
    found = await containers.containers(machine.surroundings())
    assert brief(found) == [
        ("fail", "trainer is exited (exit code 137)"),
        ("fail", "student runs and is not ready"),
        ("warn", "retriever is starting"),
    ]
    assert "docker compose up -d trainer" in found[0].remedy


async def test_a_stack_that_is_well_or_not_up_takes_one_line(machine: Machine) -> None:
    docker(machine, INFO, ps=json.dumps(WELL))
    assert brief(await containers.containers(machine.surroundings())) == [("ok", "1 containers of the compose stack are well")]
    docker(machine, INFO)
    assert brief(await containers.containers(machine.surroundings())) == [("ok", "the compose stack is not up")]
    docker(machine, INFO, ps="Emulate Docker CLI")
    assert brief(await containers.containers(machine.surroundings())) == [("warn", "docker compose ps lists no JSON")]
    docker(machine, INFO, ps="yaml: line 3", ps_code=1)
    assert brief(await containers.containers(machine.surroundings())) == [("warn", "docker compose ps: yaml: line 3")]
