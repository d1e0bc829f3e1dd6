"""One harvest with curator. Started by the harvest benchmark with the Python of curator's own environment.

Reads {"base_url", "concurrency", "prompts"}; writes {"seconds", "cpu_s", "done"} of the harvest alone, without the process's
start and without the probe that curator sends when its model is set up.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from bespokelabs import curator  # type: ignore[import-not-found]
from litellm.litellm_core_utils import default_encoding  # type: ignore[import-not-found]  # noqa: F401 - spares tiktoken a download

_NO_LIMIT = 1_000_000_000


class Teacher(curator.LLM):  # type: ignore[misc]
    """One prompt in, one reply out."""

    def prompt(self, input: dict[str, str]) -> str:
        return input["prompt"]

    def parse(self, input: dict[str, str], response: str) -> dict[str, str]:
        return {"prompt": input["prompt"], "reply": response}


def timed(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The figures of one harvest into an empty folder."""
    params = {
        "base_url": job["base_url"],
        "max_concurrent_requests": job["concurrency"],
        "max_requests_per_minute": 1_000_000,
        "max_tokens_per_minute": _NO_LIMIT,
        "require_all_responses": True,
    }
    teacher = Teacher(model_name="gpt-4o-mini", backend="openai", backend_params=params)
    rows = [{"prompt": prompt} for prompt in job["prompts"]]
    begin, cpu = time.perf_counter(), time.process_time()
    answered = teacher(rows, working_dir=str(folder))
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    done = sum(bool(row["reply"]) for row in answered.dataset)
    return {"seconds": seconds, "cpu_s": cpu_s, "done": done}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name in ("job", "folder", "result"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    job = json.loads(options.job.read_text(encoding="utf-8"))
    options.result.write_text(json.dumps(timed(job, options.folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
