"""Single flight on its own."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from askback.contracts.errors import UpstreamUnavailable
from services.teacher.flights import Emit, Flights


class Upstream:
    """Counts its calls, streams one chunk at once and another when told, and answers then."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls, self.error, self.go = 0, error, asyncio.Event()

    async def __call__(self, emit: Emit) -> int:
        self.calls += 1
        emit(b"one")
        await self.go.wait()
        if self.error is not None:
            raise self.error
        emit(b"two")
        return self.calls


async def test_a_call_under_way_is_joined_and_a_landed_one_is_not() -> None:
    flights: Flights[int] = Flights()
    upstream = Upstream()
    assert flights.join("k") is None
    flight = flights.start("k", "run", False, upstream)
    assert flights.join("k") is flight and flights.join("other") is None
    assert (len(flights), flight.payer) == (1, "run")
    upstream.go.set()
    assert await asyncio.gather(*(flight.result() for _ in range(20))) == [1] * 20
    assert (flights.join("k"), len(flights)) == (None, 0)


async def test_every_follower_reads_the_stream_from_its_start() -> None:
    upstream = Upstream()
    flight = Flights[int]().start("k", "", True, upstream)
    assert await flight.begun()
    early = asyncio.create_task(_chunks(flight.follow()))
    await asyncio.sleep(0)
    upstream.go.set()
    assert await early == [b"one", b"two"] == await _chunks(flight.follow())
    assert not await flight.begun()


async def test_an_error_reaches_every_caller_and_follower() -> None:
    flights: Flights[int] = Flights()
    failing = Upstream(UpstreamUnavailable("down"))
    flight = flights.start("k", "", True, failing)
    failing.go.set()
    results = await asyncio.gather(flight.result(), flight.result(), _chunks(flight.follow()), return_exceptions=True)
    assert [str(result) for result in results] == ["down"] * 3
    assert flights.join("k") is None


async def test_the_call_outlives_a_caller_who_hangs_up() -> None:
    upstream = Upstream()
    flight = Flights[int]().start("k", "", False, upstream)
    leader, follower = asyncio.create_task(flight.result()), asyncio.create_task(flight.result())
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    upstream.go.set()
    assert (await follower, upstream.calls) == (1, 1)


async def test_settle_waits_for_a_call_that_nobody_waits_for() -> None:
    flights: Flights[int] = Flights()
    upstream = Upstream(UpstreamUnavailable("down"))
    assert await flights.settle(0.01) == 0
    flights.start("k", "", False, upstream)
    assert await flights.settle(0.01) == 1
    upstream.go.set()
    assert await flights.settle(1.0) == 0


async def test_a_failure_of_our_own_is_logged_though_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    flights: Flights[int] = Flights()
    upstream = Upstream(RuntimeError("a bug"))
    flights.start("k", "", False, upstream)
    upstream.go.set()
    with caplog.at_level(logging.ERROR, "services.teacher.flights"):
        await flights.settle(1.0)
        await asyncio.sleep(0)
    assert "a bug" in caplog.text


async def _chunks(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in stream]
