"""Backends of kind `openai`: OpenAI, Azure, or any server that speaks its chat completions API, over the official SDK."""

import logging
from collections.abc import Mapping
from typing import Any

from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI
from pydantic import BaseModel, Field, ValidationError

from askback.contracts.errors import ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.teacher import ChatRequest
from services.teacher.backend import Completion
from services.teacher.config import OpenAISpec

_NOT_SENT = frozenset({"stream", "stream_options"})
_RETRYABLE = frozenset({408, 409, 429})
logger = logging.getLogger(__name__)


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Reply(BaseModel):
    """The part of an upstream's answer that is used. The SDK's own types are not checked against what arrives."""

    model: str = ""
    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


class OpenAIBackend:
    """One upstream. The SDK tries again on connection errors, 408, 409, 429 and 5xx, and heeds Retry-After."""

    def __init__(self, spec: OpenAISpec, environment: Mapping[str, str], max_retries: int = 3) -> None:
        """The key is read from `environment` here; without it every call raises UpstreamUnavailable naming the variable."""
        self._spec = spec
        self._key = environment.get(spec.api_key_env, "").strip() if spec.api_key_env else "none"
        usable = self._key.isascii() and self._key.isprintable() and " " not in self._key  # else it cannot stand in a header
        self._client = None
        if self._key and usable:
            self._client = AsyncOpenAI(api_key=self._key, base_url=spec.base_url, timeout=spec.timeout_s, max_retries=max_retries)

    async def complete(self, request: ChatRequest) -> Completion:
        """One chat completion; raises UpstreamUnavailable or UpstreamRejected. An unusable answer comes with its `problem`."""
        spec = self._spec
        if self._client is None:
            raise UpstreamUnavailable(
                f"backend {spec.name!r}: environment variable {spec.api_key_env} holds no key; set it and start the teacher again"
            )
        fields = {name: value for name, value in (request.model_extra or {}).items() if name not in _NOT_SENT}
        messages: Any = [{"role": message.role, "content": message.content} for message in request.messages]
        try:
            answer = await self._client.chat.completions.with_raw_response.create(model=spec.model, messages=messages, extra_body=fields)
        except APITimeoutError as error:
            raise UpstreamUnavailable(f"backend {spec.name!r}: {spec.base_url} did not answer within {spec.timeout_s:g} s") from error
        except APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            raise UpstreamUnavailable(f"backend {spec.name!r}: {spec.base_url} cannot be reached ({cause})") from error
        except APIStatusError as error:
            raise self._refusal(error) from error
        return self._completion(answer.content)

    def _refusal(self, error: APIStatusError) -> ServiceError:
        later = error.status_code >= 500 or error.status_code in _RETRYABLE
        said = " ".join(error.message.split())
        said = said.replace(self._key, "***")[:300] if self._spec.api_key_env else said[:300]  # some servers repeat the key
        return (UpstreamUnavailable if later else UpstreamRejected)(f"backend {self._spec.name!r}: {said}")

    def _completion(self, content: bytes) -> Completion:
        spec = self._spec
        try:
            reply = _Reply.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "the body"
            raise UpstreamRejected(
                f"backend {spec.name!r}: {spec.base_url} did not answer with a chat completion ({field}: {first['msg']})"
            ) from error
        used = reply.usage or _Tokens(prompt_tokens=0)
        if reply.usage is None and (spec.price_per_million_prompt_usd or spec.price_per_million_completion_usd):
            logger.warning("backend %r answered without usage; this call is booked with 0 tokens and 0 dollars", spec.name)
        dollars = used.prompt_tokens * spec.price_per_million_prompt_usd + used.completion_tokens * spec.price_per_million_completion_usd
        return Completion(
            text=reply.choices[0].message.content or "",
            model=reply.model or spec.model,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            cost_usd=dollars / 1e6,
            problem=_problem(reply.choices[0]),
        )


def _problem(choice: _Choice) -> str:
    if choice.finish_reason == "length":
        return "the answer is truncated at its token limit; raise max_tokens"
    if choice.finish_reason not in (None, "stop"):
        return f"the answer ended with finish_reason {choice.finish_reason!r}, which is not a finished text"
    return "" if (choice.message.content or "").strip() else "the answer holds no text"
