"""The real stack in a workspace of its own: vLLM, Redis, Celery workers and the five services on ports of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from counting_teacher import CountingTeacher

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "var" / "models" / "SmolLM2-135M-Instruct"
FIRST_PORT = "18100"

TEACHER = """
active = "paid"
[[backends]]
name = "paid"
kind = "openai"
model = "big"
base_url = "{url}/v1"
api_key_env = "PAID_KEY"
price_per_million_prompt_usd = 1.0
price_per_million_completion_usd = 2.0
[[backends]]
name = "engine"
kind = "openai"
model = "student-base"
base_url = "http://127.0.0.1:{port}/v1"
price_per_million_prompt_usd = 0
price_per_million_completion_usd = 0
[[backends]]
name = "replay"
kind = "replay"
fallback = ["gold"]
[[backends]]
name = "gold"
kind = "gold"
"""


@dataclass
class Workspace:
    """A folder in which `askback` is called as a person would."""

    path: Path
    teacher: CountingTeacher
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "askback.cli", *arguments]
        log = (self.path / "cli.log").open("a")
        return subprocess.Popen(command, cwd=self.path, env={**os.environ, **self.environment}, stdout=log, stderr=log, text=True)

    def call(self, *arguments: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "askback.cli", *arguments]
        env = {**os.environ, **self.environment}
        return subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace with the stack up; down again, with nothing left behind, at the end."""
    path = tmp_path_factory.mktemp("workspace")
    build = [sys.executable, "-m", "services.student.embedded_model", str(MODEL)]
    subprocess.run(build, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    with CountingTeacher() as teacher:
        (path / "teacher.toml").write_text(TEACHER.format(url=teacher.url, port=FIRST_PORT))
        environment = {
            "ASKBACK_HOME": str(path / "var"),
            "ASKBACK_PORT": FIRST_PORT,
            "BASE_MODEL": str(MODEL),
            "TEACHER_CONFIG": str(path / "teacher.toml"),
            "PAID_KEY": "secret-key-of-the-test",
        }
        workspace = Workspace(path, teacher, environment)
        try:
            up = workspace.call("up")
            assert up.returncode == 0, up.stderr
            yield workspace
        finally:
            down = workspace.call("down")
        assert down.returncode == 0, down.stderr
