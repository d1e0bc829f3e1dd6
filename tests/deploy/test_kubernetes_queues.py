"""KEDA looks where Celery keeps its messages."""

import os
import subprocess
import sys
from pathlib import Path

from redis import Redis

from tests.deploy.manifests import ROOT, needs_kubectl, of_kind, overlay
from tests.deploy.started import SECRET

# Two jobs for trainers; of three scores a worker is in the middle of one: its message is taken and not acknowledged.
_WORK = """
import os
from services.evaluator import tasks as evaluator
from services.trainer import merge_tasks, tasks as trainer
trainer.train.apply_async(("job",))
merge_tasks.merge.apply_async(("job",))
for _ in range(3):
    evaluator.score.apply_async(args=["job", {}])
assert evaluator.app.connection_for_read().channel().basic_get(evaluator.QUEUE) is not None
os._exit(0)
"""


@needs_kubectl
def test_waiting_and_running_work_is_counted(tmp_path: Path, redis_port: int) -> None:
    """As KEDA's `redis` trigger counts: a list's length, a hash's fields."""
    url = f"redis://:{SECRET}@127.0.0.1:{redis_port}/0"
    settings = {**os.environ, "REDIS_URL": url, "RUNS_DIR": str(tmp_path), "JOBS_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", _WORK], cwd=tmp_path, env=settings, check=True, timeout=120)
    triggers = [trigger for manifest in of_kind(overlay("gpu"), "ScaledObject") for trigger in manifest["spec"]["triggers"]]
    names = [trigger["metadata"]["listName"] for trigger in triggers if trigger["type"] == "redis"]
    with Redis.from_url(url) as redis:
        counts = {name: redis.hlen(name) if redis.type(name) == b"hash" else redis.llen(name) for name in names}
    assert counts == {"askback:trainer:trainer": 2, "evaluator:evaluator": 2, "evaluator:unacked": 1}
