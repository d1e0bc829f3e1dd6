"""`docker compose up --scale trainer-worker=N`: nothing of a worker's may be one container's alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class Loader(yaml.SafeLoader):
    """With Compose's own `!reset`, which takes away what another file says."""


Loader.add_constructor("!reset", lambda _loader, _node: None)


def worker(file: str) -> dict[str, Any]:
    loaded = yaml.load((ROOT / file).read_text(encoding="utf-8"), Loader)
    return dict(loaded["services"]["trainer-worker"])


@pytest.mark.parametrize("file", ["docker-compose.yml", "compose.cpu.yml"])
def test_a_worker_has_no_name_and_no_port_of_its_own(file: str) -> None:
    assert not {"container_name", "hostname"} & worker(file).keys()
    assert not worker(file).get("ports")


def test_workers_have_a_node_name_each_and_share_jobs_runs_and_lock() -> None:
    one = worker("docker-compose.yml")
    assert one["command"][one["command"].index("-n") + 1] == "trainer@%h"
    assert one["tmpfs"] == ["/tmp"] and one["command"][-1].startswith("/tmp/")
    assert {volume.rsplit(":", 1)[-1] for volume in one["volumes"]} == {"/runs", "/jobs", "/models", "/gpu"}
    assert "GPU_MEMORY_GB" in one["environment"]
