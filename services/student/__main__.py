"""Settings from the environment, composition, server.

ENGINE_URL, ENGINE_START_S, MAX_CONCURRENCY, MAX_QUEUE, BASE_MODEL, SERVED_BASE_MODEL, MAX_LORA_RANK, ADAPTERS_DIR, ADAPTERS_CACHE,
STUDENT_STATE, GPU_LOCK, TEACHER_URL, RETRIEVER_URL, PORT
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.errors import InvalidInput
from askback.contracts.service_client import LONGEST_CALL_S, api_key_in
from services.serving import serve
from services.student.adapter_folders import adapters_at
from services.student.adapters import Adapters
from services.student.aiohttp_engine import AiohttpEngine
from services.student.app import create_app
from services.student.counted_resolvers import CountedResolvers
from services.student.door.front import Front
from services.student.door.pass_through import PassThrough
from services.student.engine import Engine
from services.student.engine_health import EngineHealth
from services.student.engine_profiles import served_rank
from services.student.gpu.gated_engine import GatedEngine
from services.student.gpu.gpu_routes import gpu_router
from services.student.gpu.sharing import gate_of, turn_of
from services.student.prometheus_metrics import PrometheusMetrics
from services.student.queued_engine import QueuedEngine
from services.student.turns import Turns
from services.student.vllm_engine import VllmEngine


def compose(env: Mapping[str, str]) -> Front:
    """The student that `env` describes; raises InvalidInput for a bad setting."""
    link, metrics, gate = AiohttpEngine(env.get("ENGINE_URL", "http://127.0.0.1:8000")), PrometheusMetrics(), gate_of(env)
    served_base = env.get("SERVED_BASE_MODEL", "student-base")
    health = EngineHealth(link, _whole(env, "ENGINE_START_S", 600, 1), asleep=gate.missing)
    turns = Turns(_whole(env, "MAX_CONCURRENCY", 256, 1), _whole(env, "MAX_QUEUE", 1024, 0))
    engine = QueuedEngine(GatedEngine(VllmEngine(link), gate), turns, health, metrics)
    adapters = _adapters(env, engine, served_base)
    key = api_key_in(env)
    resolvers = CountedResolvers(
        TeacherClient.at(env.get("TEACHER_URL", "http://127.0.0.1:8001"), api_key=key),
        RetrieverClient.at(env.get("RETRIEVER_URL", "http://127.0.0.1:8003"), api_key=key),
        metrics.asked,
    )
    metrics.watch(turns, lambda: health.up, lambda: gate.is_open, lambda: len(adapters.listing().adapters))
    card = gpu_router(turn_of(env, link, gate, adapters.prepare), adapters.prepare)
    passing = PassThrough(link, adapters, turns, metrics, served_base, gate.admitted)
    return Front(create_app(engine, adapters, resolvers, card), passing, health, metrics, link.close, LONGEST_CALL_S)


def _adapters(env: Mapping[str, str], engine: Engine, served_base: str) -> Adapters:
    home = Path(env.get("ASKBACK_HOME", "var"))
    return Adapters(
        engine,
        root=adapters_at(env.get("ADAPTERS_DIR", "runs"), Path(env.get("ADAPTERS_CACHE") or home / "adapters")),
        state=Path(env.get("STUDENT_STATE", home / "student.json")),
        base_model=env.get("BASE_MODEL", "SmolLM2-135M-Instruct"),
        served_base=served_base,
        max_rank=_whole(env, "MAX_LORA_RANK", served_rank(env), 1),
    )


def _whole(env: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 1_000_000):
        raise InvalidInput(f"{name}: {text!r} is not a whole number from {least} to 1000000")
    return int(text)


def main() -> None:
    try:
        front = compose(os.environ)
    except InvalidInput as error:
        sys.stderr.write(f"student: {error}\n")
        raise SystemExit(2) from None
    serve(front, 8002)


if __name__ == "__main__":
    main()
