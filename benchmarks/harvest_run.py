"""One harvest as a run makes it, from empty to its last record. Started by the harvest benchmark as a process of its own.

Writes {"seconds", "cpu_s", "done", "failed", "cost_usd"} of the harvest alone, without the process's start.
"""

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from askback.contracts.records import HarvestRecord
from askback.loop.config import HarvestConfig
from askback.loop.harvest import counts_of, harvest, rows_of
from askback.loop.progress import Reporter
from askback.loop.services import connect
from askback.loop.store import RunStore
from askback.tasks import task_named
from benchmarks.harvest_prompts import TASK, samples
from benchmarks.proxies import MODEL

_FILE = "harvest.jsonl"


async def timed(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one harvest into an empty folder."""
    store, rows = RunStore(options.folder, "benchmark"), rows_of(samples(options.rows), [])
    config = HarvestConfig(teacher=MODEL, concurrency=options.concurrency)
    urls = dict.fromkeys(("retriever", "trainer", "evaluator"), options.student) | {"teacher": options.teacher, "student": options.student}
    async with AsyncExitStack() as stack:
        services = await connect(stack, urls)
        await services.check()  # as a run does before its first stage
        begin, cpu = time.perf_counter(), time.process_time()
        with Reporter().bar("harvest", len(rows)) as bar, store.appender(_FILE) as kept:
            await harvest(config, task_named(TASK), rows, services, kept.append, bar, store.run_id)
        seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    counts = counts_of(rows_of(samples(options.rows), store.read_records(_FILE, HarvestRecord)))
    return {"seconds": seconds, "cpu_s": cpu_s, **{name: counts[name] for name in ("done", "failed", "cost_usd")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--teacher", required=True, help="the teacher's address")
    parser.add_argument("--student", required=True, help="the student's address")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    options.result.write_text(json.dumps(asyncio.run(timed(options))), encoding="utf-8")


if __name__ == "__main__":
    main()
