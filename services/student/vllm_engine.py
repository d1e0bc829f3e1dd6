"""vLLM's OpenAI server as the student's engine. The only file that knows vLLM's routes and extra fields."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from askback.contracts.errors import NotFound, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Message, Usage
from askback.contracts.service_client import LONGEST_CALL_S
from services.student.engine import Generation, Sampling
from services.student.engine_link import EngineLink

_TOP_LOGPROBS = 20  # vLLM's default ceiling
_HEALTH_S = 5.0
_JSON = ((b"content-type", b"application/json"),)


class VllmEngine:
    """Talks to a running server; needs VLLM_ALLOW_RUNTIME_LORA_UPDATING there to load adapters."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        started = time.perf_counter()
        body: dict[str, Any] = {
            "model": model,
            "messages": [message.model_dump() for message in messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.choices:
            body |= {"structured_outputs": {"choice": list(sampling.choices)}, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        elif sampling.regex:
            body["structured_outputs"] = {"regex": sampling.regex}
        answer = await self._post("/v1/chat/completions", body)
        choice, used = answer["choices"][0], answer["usage"]
        usage = Usage(
            prompt_tokens=used["prompt_tokens"], completion_tokens=used["completion_tokens"], latency_s=round(time.perf_counter() - started, 4)
        )
        return Generation(
            text=choice["message"]["content"] or "",
            usage=usage,
            truncated=choice["finish_reason"] == "length",
            first_token=_first_token(choice),
        )

    async def load(self, name: str, path: str) -> None:
        try:
            await self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        except UpstreamRejected as error:
            if "already" not in str(error):
                raise

    async def unload(self, name: str) -> None:
        try:
            await self._post("/v1/unload_lora_adapter", {"lora_name": name})
        except (NotFound, UpstreamRejected) as error:
            if "cannot be found" not in str(error):
                raise

    async def healthy(self) -> bool:
        try:
            async with asyncio.timeout(_HEALTH_S), self._link.send("GET", "/health") as answer:
                return answer.status == 200
        except (UpstreamUnavailable, TimeoutError):
            return False

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of the answer; None of one that is not JSON, as vLLM's to a change of adapters."""
        try:
            async with asyncio.timeout(LONGEST_CALL_S), self._link.send("POST", path, json.dumps(body).encode(), _JSON) as answer:
                status, content = answer.status, await answer.read()
        except TimeoutError:
            raise UpstreamUnavailable(f"the engine at {self._link.url} did not answer {path} within {LONGEST_CALL_S:g} s") from None
        if status < 300:
            return _decoded(content)
        text = _message(content)
        if status == 404:
            raise NotFound(text)
        raise (UpstreamUnavailable if status >= 500 else UpstreamRejected)(f"the engine refused {path}: {text}")


def _first_token(choice: dict[str, Any]) -> dict[str, float]:
    content = (choice.get("logprobs") or {}).get("content") or []
    return {top["token"]: top["logprob"] for top in content[0]["top_logprobs"]} if content else {}


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _message(content: bytes) -> str:
    body = _decoded(content)
    if not isinstance(body, dict):
        return content.decode(errors="replace")[:300]
    error = body.get("error", body)
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
