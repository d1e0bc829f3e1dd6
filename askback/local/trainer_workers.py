"""Several trainer workers side by side: how many, what each gets of the machine, and what would keep their trainings apart."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from askback.contracts.errors import InvalidInput

MOST = 64
CONTEXT_GB = 0.5
"""What a process holds of a card beyond torch's own count, which is all that GPU_MEMORY_GB limits: its CUDA context."""
_LOOK_S = 1.5  # less than a check of the doctor may take


@dataclass(frozen=True)
class Doubt:
    """What makes several workers worth less than they seem, and what to do."""

    text: str
    remedy: str


def worker_count(environment: Mapping[str, str]) -> int:
    """TRAINER_WORKERS, 1 where it is not set; raises InvalidInput for what is no whole number from 1 to 64."""
    text = environment.get("TRAINER_WORKERS") or "1"
    if not re.fullmatch(r"\d{1,3}", text, re.ASCII) or not 1 <= int(text) <= MOST:
        raise InvalidInput(f"TRAINER_WORKERS: {text!r} must be a whole number from 1 to {MOST}")
    return int(text)


def worker_threads(environment: Mapping[str, str], workers: int, cores: int) -> int:
    """Threads of one worker's training on the CPU: OMP_NUM_THREADS where that is set, else its share of the cores."""
    text = environment.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) else max(1, cores // workers)


def doubts(environment: Mapping[str, str]) -> list[Doubt]:
    """Why the trainings of several workers would wait for each other or run out of the card's memory; none for one worker.

    Asks nvidia-smi for the card, for 1.5 s at most; without it nothing is said of memory.
    """
    workers = worker_count(environment)
    if workers == 1:
        return []
    return [*_of_lock(environment, workers), *_of_memory(environment, workers, _card_gb(environment))]


def _of_lock(environment: Mapping[str, str], workers: int) -> list[Doubt]:
    if not environment.get("GPU_LOCK"):
        return []
    text = f"GPU_LOCK is set, and one training at a time holds it: the other {workers - 1} of {workers} trainer workers wait"
    return [Doubt(text, "unset GPU_LOCK and leave the engine its part of the card, or set TRAINER_WORKERS=1")]


def _of_memory(environment: Mapping[str, str], workers: int, card_gb: float | None) -> list[Doubt]:
    if card_gb is None:
        return []
    share = f"GPU_MEMORY_GB={max(0.5, card_gb * 0.9 / workers - CONTEXT_GB):.1f}"
    text = environment.get("GPU_MEMORY_GB", "")
    if not text:
        return [
            Doubt(
                f"{workers} trainer workers share a card of {card_gb:.0f} GB and GPU_MEMORY_GB is not set: each training takes what is free",
                f"set {share} or less, by what the engine takes",
            )
        ]
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text, re.ASCII):
        return []  # the trainer itself refuses it
    taken = workers * (float(text) + CONTEXT_GB)
    if taken <= card_gb:
        return []
    told = f"{workers} trainer workers of GPU_MEMORY_GB={text} and their contexts may take {taken:.0f} GB, and the card has {card_gb:.0f}"
    return [Doubt(told, f"set {share} or less, by what the engine takes, or start fewer workers")]


def _card_gb(environment: Mapping[str, str]) -> float | None:
    """Memory of the card that trainings use, in units of 10⁹ bytes; None where there is none or it cannot be asked."""
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    card = (environment.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0].strip()
    if program is None or card == "-1":
        return None
    command = [program, "-i", card, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True, timeout=_LOOK_S)  # noqa: S603
        return float(done.stdout.split()[0]) * 2**20 / 1e9
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
