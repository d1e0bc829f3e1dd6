"""The student in front of a real vLLM server: real questions, the official client, adapters that come and go, an engine that dies."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from conftest import FIRST_PORT, MODEL, ROOT, Workspace
from safetensors.torch import save_file

pytestmark = pytest.mark.e2e
DEV = ROOT.parent / "shared" / "data" / "strategyqa" / "dev.jsonl"
ENGINE, STUDENT = (f"http://127.0.0.1:{int(FIRST_PORT) + offset}" for offset in (0, 2))
ASKED: dict[str, Any] = {"model": "student-base", "messages": [{"role": "user", "content": "Is snow cold?"}], "temperature": 0, "max_tokens": 24}
CHANGES: dict[str, dict[str, Any]] = {
    "chat": {},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "structured": {"extra_body": {"structured_outputs": {"choice": ["yes", "no"]}}},
    "json": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"cold": {"type": "boolean"}}}},
        }
    },
}


def bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def ready(workspace: Workspace) -> Workspace:
    return workspace


async def in_turn(limit: int, calls: list[Callable[[], Any]]) -> list[Any]:
    gate = asyncio.Semaphore(limit)

    async def one(call: Callable[[], Any]) -> Any:
        async with gate:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


@pytest.mark.skipif(not DEV.exists(), reason="the official questions are not here")
@pytest.mark.timeout(600)
async def test_every_real_question_gets_one_or_two_questions_of_the_student_s_own(ready: Workspace) -> None:
    asked = [json.loads(line)["question"] for line in DEV.read_text().splitlines()][:200]
    assert len(asked) == 200
    async with httpx.AsyncClient(base_url=STUDENT, timeout=300) as http:
        answers = await in_turn(32, [lambda question=question: http.post("/v1/clarify", json={"question": question}) for question in asked])
    assert {answer.status_code for answer in answers} == {200}
    for question, answer in zip(asked, answers, strict=True):
        draft = answer.json()["draft"]
        assert 1 <= len(draft["questions"]) <= 2 and 0 < draft["p_yes"] < 1
        assert all(one.endswith("?") and bare(one) != bare(question) for one in draft["questions"]), (question, draft)


@pytest.fixture(scope="module")
def clients(ready: Workspace) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    made = [openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) for url in (ENGINE, STUDENT)]
    yield made[0], made[1]
    for one in made:
        one.close()


def without_its_own(raw: bytes) -> str:
    """An answer without what every answer has anew."""
    return re.sub(rb'"(id|created)":\s*("[^"]*"|\d+)', rb'"\1":0', raw).decode()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_answer_is_the_engine_s_own(clients: tuple[openai.OpenAI, openai.OpenAI], change: dict[str, Any]) -> None:
    direct, passed = (one.chat.completions.with_raw_response.create(**ASKED | change) for one in clients)
    assert without_its_own(passed.content) == without_its_own(direct.content)


def test_a_stream_is_the_engine_s_own(clients: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    body = ASKED | {"stream": True, "stream_options": {"include_usage": True}}
    direct, passed = (httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).content for url in (ENGINE, STUDENT))
    assert without_its_own(passed) == without_its_own(direct)
    assert passed.endswith(b"data: [DONE]\n\n")


def write_adapter(folder: Path, seed: int) -> None:
    """A LoRA adapter of random weights for the embedded student."""
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(seed)
    sizes = {"lora_A": (4, 576), "lora_B": (576, 4)}
    weights = {
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.{side}.weight": torch.randn(size, generator=draw) * 0.02
        for layer in range(30)
        for side, size in sizes.items()
    }
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": MODEL.name,
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


@asynccontextmanager
async def load_of(http: httpx.AsyncClient, callers: int) -> AsyncIterator[list[tuple[int, float]]]:
    """Callers who ask without pause; yields the (status, seconds) of their answers."""
    answers: list[tuple[int, float]] = []
    stopped = asyncio.Event()

    async def ask() -> None:
        while not stopped.is_set():
            began = time.monotonic()
            answer = await http.post("/v1/answer", json={"question": "Is snow cold?", "adapter": "base"}, headers={"x-askback-deadline-s": "20"})
            answers.append((answer.status_code, time.monotonic() - began))
            await asyncio.sleep(0.02)

    asking = [asyncio.create_task(ask()) for _ in range(callers)]
    yield answers
    stopped.set()
    await asyncio.gather(*asking)


@pytest.mark.timeout(600)
async def test_adapters_come_and_go_fifty_times_under_load_and_no_request_fails(ready: Workspace) -> None:
    for number in range(50):
        write_adapter(ready.path / "runs" / "coming" / f"a{number}", number)
    async with httpx.AsyncClient(base_url=STUDENT, timeout=120) as http, load_of(http, 4) as answers:
        for number in range(50):
            loaded = await http.post("/v1/adapters", json={"name": f"coming-{number}", "path": f"coming/a{number}"})
            assert loaded.status_code == 200, loaded.text
            used = [await http.post("/v1/answer", json={"question": "Is snow cold?", "adapter": f"coming-{number}"}) for _ in range(2)]
            assert [answer.status_code for answer in used] == [200, 200]
            assert (await http.delete(f"/v1/adapters/coming-{number}")).status_code == 200
    assert len(answers) > 50 and {status for status, _ in answers} == {200}


@pytest.mark.timeout(400)
async def test_an_engine_that_is_killed_under_load_costs_503_and_is_used_again_when_it_is_back(ready: Workspace) -> None:
    async with httpx.AsyncClient(base_url=STUDENT, timeout=120) as http:
        async with load_of(http, 4) as answers:
            await asyncio.sleep(2)
            found = subprocess.run(["pgrep", "-f", f"api_server.*--port {FIRST_PORT}"], capture_output=True, text=True, check=True)
            os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
            await asyncio.sleep(5)
            refused = await http.get("/readyz")
            assert refused.status_code == 503 and "the engine is" in refused.json()["status"]
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(1)
            await asyncio.sleep(2)
        statuses = [status for status, _ in answers]
        assert set(statuses) == {200, 503} and statuses[-1] == 200
        assert max(seconds for status, seconds in answers if status == 503) < 20
