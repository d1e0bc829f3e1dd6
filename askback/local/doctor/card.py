"""The GPU: driver, number of cards, their memory against the engine's profile, and who holds the lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from askback.contracts.gpu_lock import GpuLock
from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import aside, is_taken, run
from askback.local.doctor.surroundings import Surroundings

_FIELDS = "name,driver_version,compute_cap,memory.total,memory.free"
_OLDEST_DRIVER = 525
_DRIVER_OF_CUDA_13 = 580
_BFLOAT16 = 8.0
_VLLM_SHARE = 0.9  # vLLM's own default of gpu_memory_utilization


@dataclass(frozen=True)
class Card:
    name: str
    driver: str
    capability: float
    total_mib: float
    free_mib: float


async def gpu(surroundings: Surroundings) -> list[Finding]:
    """Driver and cards, against what the engine's profile wants."""
    wanted, name = surroundings.wants_card, surroundings.profile_name
    listed = await run(surroundings.environment, "nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits")
    if listed is None:
        if wanted and not surroundings.elsewhere:
            return [fail(f"profile {name} wants a GPU, and nvidia-smi is not here", "install NVIDIA's driver, or set ENGINE_PROFILE=cpu")]
        return [ok("no NVIDIA driver on this machine, and none is needed")]
    if listed.code:
        return [fail(f"nvidia-smi: {listed.complaint}", "load the driver (modprobe nvidia) or restart the machine after an update of it")]
    cards = _visible([card for line in listed.out.splitlines() if (card := _card(line))], surroundings.environment)
    if not cards:
        return [fail("nvidia-smi lists no card that the engine may use", "check ENGINE_GPUS or CUDA_VISIBLE_DEVICES, and that the card is seated")]
    found = [_driver(cards)]
    if not wanted:
        return [*found, warn(f"{_named(cards)}: idle, since ENGINE_PROFILE is cpu", "set ENGINE_PROFILE to the card's size, such as 24gb")]
    profile = await aside(surroundings.profile)
    if profile is None or surroundings.elsewhere:
        return found
    weights_mib = await aside(lambda: _weights_mib(Path(surroundings.settings.base_model)))
    student = urlsplit(surroundings.urls["student"])
    in_use = surroundings.embedded_is_up or await is_taken(student.hostname or "", student.port or 80)
    return [*found, _room(cards, name, profile, weights_mib, in_use)]


def _card(line: str) -> Card | None:
    parts = [part.strip() for part in line.split(",")]
    try:
        return Card(parts[0], parts[1], float(parts[2]), float(parts[3]), float(parts[4]))
    except (IndexError, ValueError):  # such as [N/A]
        return None


def _visible(cards: list[Card], environment: Mapping[str, str]) -> list[Card]:
    """The cards that the engine may use, in its order."""
    numbers = (environment.get("ENGINE_GPUS") or environment.get("CUDA_VISIBLE_DEVICES") or "").split(",")
    if not all(number.strip().isdigit() for number in numbers):  # not set, or names of cards
        return cards
    return [cards[int(number)] for number in numbers if int(number) < len(cards)]


def _named(cards: Sequence[Card]) -> str:
    return f"{len(cards)} x {cards[0].name} of {cards[0].total_mib / 1024:.0f} GiB"


def _driver(cards: Sequence[Card]) -> Finding:
    text = f"driver {cards[0].driver}, {_named(cards)}"
    major = int(cards[0].driver.split(".")[0]) if cards[0].driver.split(".")[0].isdigit() else 0
    if major < _OLDEST_DRIVER:
        return fail(f"{text}: CUDA 12 needs a driver of {_OLDEST_DRIVER} or newer", "update NVIDIA's driver")
    if major < _DRIVER_OF_CUDA_13:
        remedy = f"update the driver to {_DRIVER_OF_CUDA_13} or newer, or use builds for an older CUDA"
        return warn(f"{text}: too old for images with CUDA 13", remedy)
    return ok(text)


def _room(cards: Sequence[Card], name: str, profile: Mapping[str, Any], weights_mib: float, in_use: bool) -> Finding:
    """Whether the engine finds the cards that its profile wants, with as much memory free as it asks for at its start."""
    wanted = int(profile.get("tensor_parallel_size", 1)) * int(profile.get("data_parallel_size", 1))
    if wanted > len(cards):
        return fail(f"profile {name} wants {wanted} cards and there are {len(cards)}", "choose another ENGINE_PROFILE")
    least = min(cards[:wanted], key=lambda card: card.free_mib)
    if profile.get("dtype") == "bfloat16" and least.capability < _BFLOAT16:
        return fail(
            f"profile {name} wants bf16, which {least.name} (compute capability {least.capability}) has not", "choose a profile of dtype auto"
        )
    needed = weights_mib / int(profile.get("tensor_parallel_size", 1)) + float(profile.get("kv_cache_memory_bytes") or 0) / 2**20 + 1024
    if needed > least.total_mib:
        text = f"profile {name} takes {needed / 1024:.1f} GiB (weights, cache, 1 GiB), and the card has {least.total_mib / 1024:.1f}"
        return fail(text, "choose a smaller ENGINE_PROFILE or a smaller or quantised BASE_MODEL")
    if in_use:
        return ok(f"{least.free_mib / 1024:.1f} GiB free beside the stack that runs")
    asked = float(profile.get("gpu_memory_utilization") or _VLLM_SHARE) * least.total_mib
    if least.free_mib < asked:
        text = f"{least.free_mib / 1024:.1f} GiB are free, and profile {name} wants {asked / 1024:.1f} at its start"
        return fail(text, "end what holds the card (nvidia-smi names it), or choose a smaller ENGINE_PROFILE")
    return ok(f"{least.free_mib / 1024:.1f} GiB free for profile {name}, which wants {asked / 1024:.1f}")


def _weights_mib(model: Path) -> float:
    """Size of a model's weights; 0 where it is no folder."""
    return sum(path.stat().st_size for path in model.glob("*.safetensors")) / 2**20 if model.is_dir() else 0.0


async def gpu_lock(surroundings: Surroundings) -> list[Finding]:
    """Whether the lock file that student and trainer share can be used, and whose it is."""
    path = surroundings.environment.get("GPU_LOCK", "")
    if not path:
        return [ok("GPU_LOCK is not set: the engine keeps its card for itself")]
    if not await aside(Path(path).exists):
        return [ok(f"{path} is made at the first start")]
    return [ok(await aside(lambda: _holder(Path(path))))]


def _holder(path: Path) -> str:
    lock = GpuLock.at(path)
    try:
        return f"{path}: free" if lock.is_free() else f"{path}: held by {lock.read().holder or 'an unknown process'}"
    finally:
        lock.close()
