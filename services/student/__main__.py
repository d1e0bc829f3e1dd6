"""Settings from the environment, composition, server.

ENGINE_URL, BASE_MODEL, SERVED_BASE_MODEL, MAX_LORA_RANK, ADAPTERS_DIR, STUDENT_STATE, TEACHER_URL, RETRIEVER_URL, PORT
"""

import os
from pathlib import Path

import httpx

from askback.contracts.client import LONGEST_CALL_S, RetrieverClient, TeacherClient, api_key_in
from services.serving import serve
from services.student.adapters import Adapters
from services.student.app import create_app
from services.student.resolvers import Resolvers
from services.student.vllm_engine import VllmEngine


def main() -> None:
    env = os.environ
    home = Path(env.get("ASKBACK_HOME", "var"))
    limits = httpx.Limits(max_connections=256)
    timeout = httpx.Timeout(LONGEST_CALL_S, connect=5.0)
    engine = VllmEngine(httpx.AsyncClient(base_url=env.get("ENGINE_URL", "http://127.0.0.1:8000"), timeout=timeout, limits=limits))
    adapters = Adapters(
        engine,
        root=Path(env.get("ADAPTERS_DIR", "runs")),
        state=Path(env.get("STUDENT_STATE", home / "student.json")),
        base_model=env.get("BASE_MODEL", "SmolLM2-135M-Instruct"),
        served_base=env.get("SERVED_BASE_MODEL", "student-base"),
        max_rank=int(env.get("MAX_LORA_RANK", "16")),
    )
    key = api_key_in(env)
    resolvers = Resolvers(
        TeacherClient.at(env.get("TEACHER_URL", "http://127.0.0.1:8001"), api_key=key),
        RetrieverClient.at(env.get("RETRIEVER_URL", "http://127.0.0.1:8003"), api_key=key),
    )
    serve(create_app(engine, adapters, resolvers), 8002)


if __name__ == "__main__":
    main()
