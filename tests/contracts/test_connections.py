import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from askback.contracts.connections import LentConnections

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers every request on a connection after `latency_s`, and counts connections."""

    def __init__(self) -> None:
        self.latency_s = 0.0
        self.hang_up = False
        self.opened = 0
        self.open = 0
        self.most_open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(self.latency_s)
                writer.write(ANSWER)
                await writer.drain()
                if self.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    one = Server()
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    yield one, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    listening.close()


async def test_a_connection_serves_one_request_after_the_other(server: tuple[Server, str]) -> None:
    counted, url = server
    async with httpx.AsyncClient(transport=LentConnections(4)) as http:
        for _ in range(5):
            assert (await http.get(url)).text == "ok"
    assert counted.opened == 1


async def test_no_more_connections_are_open_than_are_allowed(server: tuple[Server, str]) -> None:
    counted, url = server
    counted.latency_s = 0.01
    async with httpx.AsyncClient(transport=LentConnections(3)) as http:
        answers = await asyncio.gather(*(http.get(url) for _ in range(12)))
    assert [answer.text for answer in answers] == ["ok"] * 12
    assert counted.most_open == 3


async def test_a_connection_that_the_server_closed_is_opened_again(server: tuple[Server, str]) -> None:
    counted, url = server
    counted.hang_up = True
    async with httpx.AsyncClient(transport=LentConnections(1)) as http:
        for _ in range(3):
            assert (await http.get(url)).text == "ok"
            await asyncio.sleep(0.01)
    assert counted.opened == 3


async def test_a_call_that_was_given_up_gives_its_place_back(server: tuple[Server, str]) -> None:
    counted, url = server
    counted.latency_s = 5.0
    async with httpx.AsyncClient(transport=LentConnections(1)) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(url, timeout=0.05)
        counted.latency_s = 0.0
        assert (await http.get(url, timeout=2.0)).text == "ok"


async def test_a_stream_that_is_left_early_gives_its_place_back(server: tuple[Server, str]) -> None:
    async with httpx.AsyncClient(transport=LentConnections(1)) as http:
        async with http.stream("GET", server[1]) as answer:
            assert answer.status_code == 200
        assert (await http.get(server[1], timeout=2.0)).text == "ok"
