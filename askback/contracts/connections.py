"""HTTP connections that are lent to one request at a time.

httpx's own pool looks through all of its connections at the start and the end of every request, so that a request costs
more the more of them are open. Here a request takes the connection that was given back last, whatever their number.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx


class LentConnections(httpx.AsyncBaseTransport):
    """At most `most` connections to one host, opened as they are needed and kept until `aclose`."""

    def __init__(self, most: int) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody until the certificates are read
        self._trusting = False
        self._turn = asyncio.Semaphore(most)
        self._free: list[httpx.AsyncHTTPTransport] = []
        self._opened: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; its connection comes back when the response was read or closed, or when sending failed."""
        await self._turn.acquire()
        connection = self._free.pop() if self._free else self._open(request.url.scheme)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            self._take_back(connection)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, lambda: self._take_back(connection))
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            await connection.aclose()

    def _open(self, scheme: str) -> httpx.AsyncHTTPTransport:
        if scheme == "https" and not self._trusting:  # reading the certificates takes 30 ms, which plain addresses need not wait for
            self._tls, self._trusting = httpx.create_ssl_context(), True
        connection = httpx.AsyncHTTPTransport(verify=self._tls, limits=httpx.Limits(max_connections=1))
        self._opened.append(connection)
        return connection

    def _take_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        self._free.append(connection)
        self._turn.release()


class _Body(httpx.AsyncByteStream):
    """A response's body, which says once when it is done with."""

    def __init__(self, body: httpx.AsyncByteStream, done: Callable[[], None]) -> None:
        self._body, self._done, self._open = body, done, True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            if self._open:
                self._open = False
                self._done()
