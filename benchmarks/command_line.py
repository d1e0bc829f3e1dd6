"""What the benchmarks share on the command line: progress, complaints, exit codes and the tools of the machine."""

import json
import shutil
import sys
from collections.abc import Callable
from typing import Any


class BenchmarkFailed(Exception):
    """A run whose figures would mean nothing; the text is one line on why."""


class ToolMissing(BenchmarkFailed):
    """The machine lacks what the benchmark needs."""


def say(text: str) -> None:
    """A line of progress, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def tool(name: str) -> str:
    """Path of a program; raises ToolMissing when it is not on the PATH."""
    path = shutil.which(name)
    if path is None:
        package = "util-linux" if name == "taskset" else name
        raise ToolMissing(f"{name} is not on the PATH; install your system's package {package}")
    return path


def report(run: Callable[[], dict[str, Any]]) -> int:
    """Exit code of a benchmark: 0 when the result is ok, 1 when it is not or has none, 2 without its tools, 130 on Ctrl-C.

    `run` returns the result with its `ok`, which is printed as one line of JSON.
    """
    try:
        result = run()
    except ToolMissing as error:
        say(f"benchmark: {error}")
        return 2
    except BenchmarkFailed as error:
        say(f"benchmark: {error}")
        return 1
    except KeyboardInterrupt:
        say("benchmark: interrupted")
        return 130
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["ok"] else 1


def rounded(value: float) -> float:
    """`value` to four significant digits, which is more than a benchmark knows."""
    return float(f"{value:.4g}")
