"""vLLM's OpenAI server as the student's engine. The only file that knows vLLM's routes and extra fields."""

import time
from collections.abc import Sequence
from typing import Any

import httpx

from askback.contracts.errors import NotFound, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Message, Usage
from services.student.engine import Generation, Sampling

_TOP_LOGPROBS = 20  # vLLM's default ceiling


class VllmEngine:
    """Talks to a running server; needs VLLM_ALLOW_RUNTIME_LORA_UPDATING there to load adapters."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        started = time.perf_counter()
        body: dict[str, Any] = {
            "model": model,
            "messages": [message.model_dump() for message in messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.choices:
            body |= {"structured_outputs": {"choice": list(sampling.choices)}, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        elif sampling.regex:
            body["structured_outputs"] = {"regex": sampling.regex}
        answer = (await self._post("/v1/chat/completions", body)).json()
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
            return (await self._http.get("/health", timeout=5.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise UpstreamUnavailable(f"the engine at {self._http.base_url} cannot be reached: {error or type(error).__name__}") from error
        if answer.is_success:
            return answer
        text = _message(answer)
        if answer.status_code == 404:
            raise NotFound(text)
        raise (UpstreamUnavailable if answer.status_code >= 500 else UpstreamRejected)(f"the engine refused {path}: {text}")


def _first_token(choice: dict[str, Any]) -> dict[str, float]:
    content = (choice.get("logprobs") or {}).get("content") or []
    return {top["token"]: top["logprob"] for top in content[0]["top_logprobs"]} if content else {}


def _message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300]
    error = body.get("error", body)
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
