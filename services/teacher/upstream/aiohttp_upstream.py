"""Upstreams over aiohttp, which passes several thousand small requests a second on one core, many times what httpx does."""

import re
from typing import Any

import aiohttp
import orjson
from yarl import URL

from services.logs import request_id
from services.teacher.answers.completion import complaint
from services.teacher.config import OpenAISpec
from services.teacher.flights import Emit
from services.teacher.upstream.protocol import Lost, NotSent, Refused, Reply
from services.teacher.upstream.sse import DONE, Assembler, EventReader

# uvicorn, and so vLLM and most compatible servers, close an idle connection after 5 s; a request sent into a closing one is lost.
_KEEP_IDLE_S = 4.0
_MAX_REPLY_BYTES = 64 * 2**20


class AiohttpUpstream:
    """The server of one backend."""

    def __init__(self, spec: OpenAISpec, key: str) -> None:
        """`key` is sent as a bearer token, and as Azure's `api-key`; empty for servers without keys."""
        self._name, self._base, self._key = spec.name, spec.base_url, key
        base = URL(spec.base_url)
        self._url = base.with_path(base.path.rstrip("/") + "/chat/completions").with_query(base.query)
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers |= {"authorization": f"Bearer {key}"} | ({"api-key": key} if (base.host or "").endswith(".azure.com") else {})
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: bytes, timeout_s: float, emit: Emit | None = None) -> Reply:
        """See Upstream."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s))
        headers = self._headers | {"x-request-id": request_id()}
        try:
            async with self._open().post(self._url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise self._refusal(answer, await answer.content.read(65536))
                if emit is not None and answer.content_type == "text/event-stream":
                    return await self._read_stream(answer, emit)
                return self._read_whole(answer, await _read_limited(answer))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise NotSent(f"{self._base} cannot be reached ({type(error).__name__})") from error
        except TimeoutError as error:
            raise Lost(f"{self._base} did not answer within {timeout_s:g} s", again=True) from error
        except aiohttp.ClientPayloadError as error:
            raise Lost(f"{self._base} broke its answer off", again=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(f"{self._base} closed the connection without an answer ({type(error).__name__})", again=True) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # a session belongs to the running event loop, which does not run yet at construction
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S)  # the pace bounds the calls, not the sockets
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _refusal(self, answer: aiohttp.ClientResponse, content: bytes) -> Refused:
        code = text = ""
        try:
            error = orjson.loads(content)["error"]
            text, code = (error, "") if isinstance(error, str) else (str(error.get("message") or ""), str(error.get("code") or ""))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            text = content.decode(errors="replace")
        text = " ".join(re.sub(r"<[^>]*>", " ", text).split())
        text = text.replace(self._key, "***") if self._key else text  # some servers repeat the key
        return Refused(f"{self._base} answered {answer.status}: {text[:300]}", answer.status, code, answer.headers)

    def _read_whole(self, answer: aiohttp.ClientResponse, content: bytes) -> Reply:
        try:
            completion = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Lost(f"{self._base} answered with invalid JSON ({error})", again=False, headers=answer.headers) from None
        return Reply(content, self._checked(completion, answer), answer.headers)

    async def _read_stream(self, answer: aiohttp.ClientResponse, emit: Emit) -> Reply:
        reader, whole, received = EventReader(), Assembler(), 0
        async for piece in answer.content.iter_any():
            received += len(piece)
            if received > _MAX_REPLY_BYTES:
                raise Lost(f"{self._base} streamed more than {_MAX_REPLY_BYTES // 2**20} MiB", again=False)
            for payload in reader.feed(piece):
                if payload != DONE:
                    self._take_in(whole, payload, answer)
                    emit(payload)
        if not whole.finished:
            raise Lost(f"{self._base} broke its stream off", again=True, headers=answer.headers)
        completion = self._checked(whole.completion(), answer)
        return Reply(orjson.dumps(completion), completion, answer.headers)

    def _take_in(self, whole: Assembler, payload: bytes, answer: aiohttp.ClientResponse) -> None:
        try:
            chunk = orjson.loads(payload)
            if isinstance(chunk, dict) and chunk.get("error"):
                raise Lost(f"{self._base} broke its stream off: {str(chunk['error'])[:300]}", again=True, headers=answer.headers)
            whole.add(chunk)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise Lost(f"{self._base} streamed what is no completion chunk ({error})", again=False, headers=answer.headers) from None

    def _checked(self, completion: Any, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        """`completion`, after a check of every part that is used later."""
        wrong = complaint(completion)
        if wrong:
            raise Lost(f"{self._base} did not answer with a chat completion ({wrong})", again=False, headers=answer.headers)
        checked: dict[str, Any] = completion
        return checked


async def _read_limited(answer: aiohttp.ClientResponse) -> bytes:
    if (answer.content_length or 0) > _MAX_REPLY_BYTES:
        raise Lost(f"the answer is larger than {_MAX_REPLY_BYTES // 2**20} MiB", again=False, headers=answer.headers)
    return await answer.read()
