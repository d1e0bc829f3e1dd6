"""Share the card with the trainer where GPU_LOCK says so: the gate and the turn that the environment describes."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from askback.contracts.gpu_lock import GpuLock
from askback.contracts.student import Adapter
from services.student.engine_link import EngineLink
from services.student.gpu.gate import Gate
from services.student.gpu.turn import GpuTurn
from services.student.gpu.vllm_sleep import VllmSleep


def gate_of(environment: Mapping[str, str]) -> Gate:
    """Shut until the turn has found the engine awake; always open where no card is shared."""
    return Gate(is_open=not environment.get("GPU_LOCK"))


def turn_of(environment: Mapping[str, str], link: EngineLink, gate: Gate, prepare: Callable[[Adapter | None], Awaitable[None]]) -> GpuTurn | None:
    """The turn at the card of the engine behind `link`; None where no card is shared. Raises InvalidInput for a GPU_LOCK that is no file."""
    path = environment.get("GPU_LOCK")
    if not path:
        return None
    return GpuTurn(GpuLock.at(Path(path)), VllmSleep(link), gate, prepare)
