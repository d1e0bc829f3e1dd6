"""The way to the engine's server over aiohttp, whose cost does not grow with the number of idle connections."""

from collections.abc import Iterable
from types import TracebackType

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from askback.contracts.errors import UpstreamUnavailable
from services.student.engine_link import Headers

# uvicorn, and so vLLM, closes an idle connection after 5 s; a request sent into a closing one is lost.
_KEEP_IDLE_S = 4.0
_CONNECT_S = 5.0
_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")  # what aiohttp would add where the caller sent none


class AiohttpAnswer:
    """See EngineAnswer."""

    def __init__(self, answer: aiohttp.ClientResponse, url: str) -> None:
        self._answer, self._url = answer, url
        self.status = answer.status
        self.headers: Headers = list(answer.raw_headers)

    async def read(self) -> bytes:
        try:
            return await self._answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(error) from error

    async def piece(self) -> bytes:
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"the engine at {self._url} broke its answer off ({type(error).__name__})")


class AiohttpEngine:
    """See EngineLink. One pool of connections for all that the student asks of its engine."""

    def __init__(self, url: str) -> None:
        """`url` such as `http://127.0.0.1:8000`."""
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    def send(self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> "_Call":
        """See EngineLink."""
        named = CIMultiDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        return _Call(self._open(), self.url, method, self._url_of(target), body, named)

    def _url_of(self, target: str) -> URL:
        url = self._urls.get(target)
        if url is None:
            url = URL(self.url + target, encoded=True)
            if "?" not in target:  # queries are as many as callers like
                self._urls[target] = url
        return url

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # a session belongs to the running event loop, which does not run yet at construction
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S),  # the turns bound the calls, not the sockets
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                skip_auto_headers=_OWN,
                auto_decompress=False,
            )
        return self._session


class _Call:
    """One request under way."""

    def __init__(self, session: aiohttp.ClientSession, base: str, method: str, url: URL, body: bytes, headers: CIMultiDict[str]) -> None:
        self._base = base
        self._coming = session.request(method, url, data=body or None, headers=headers, allow_redirects=False)

    async def __aenter__(self) -> AiohttpAnswer:
        try:
            self._answer = await self._coming
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnavailable(f"the engine at {self._base} cannot be reached ({type(error).__name__})") from error
        return AiohttpAnswer(self._answer, self._base)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()  # what is still under way ends at the engine
