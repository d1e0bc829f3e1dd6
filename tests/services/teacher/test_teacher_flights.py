"""Single flight on its own."""

import asyncio
import logging

import pytest

from askback.contracts.errors import UpstreamUnavailable
from services.teacher.flights import Flights


class Upstream:
    """Counts its calls, and answers when told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls, self.error, self.go = 0, error, asyncio.Event()

    async def __call__(self) -> int:
        self.calls += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.calls


async def gathered(flights: Flights[int], upstream: Upstream, keys: list[str]) -> list[tuple[int, bool] | BaseException]:
    waiting = [asyncio.create_task(flights.run(key, upstream)) for key in keys]
    await asyncio.sleep(0)
    upstream.go.set()
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_twenty_equal_calls_are_one() -> None:
    upstream = Upstream()
    results = await gathered(Flights(), upstream, ["k"] * 20)
    assert upstream.calls == 1
    assert results == [(1, False)] + [(1, True)] * 19


async def test_other_keys_fly_on_their_own() -> None:
    upstream = Upstream()
    await gathered(Flights(), upstream, ["a", "b", "a", "c"])
    assert upstream.calls == 3


async def test_an_error_reaches_every_caller_and_the_next_call_flies_anew() -> None:
    flights: Flights[int] = Flights()
    failing = Upstream(UpstreamUnavailable("down"))
    results = await gathered(flights, failing, ["k"] * 3)
    assert [str(result) for result in results] == ["down"] * 3
    assert await gathered(flights, Upstream(), ["k"]) == [(1, False)]


async def test_followers_and_result_outlive_a_leader_who_hangs_up() -> None:
    flights: Flights[int] = Flights()
    upstream = Upstream()
    leader = asyncio.create_task(flights.run("k", upstream))
    await asyncio.sleep(0)
    follower = asyncio.create_task(flights.run("k", upstream))
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    upstream.go.set()
    assert await follower == (1, True)
    assert upstream.calls == 1


async def test_settle_waits_for_a_call_that_nobody_waits_for_and_tells_of_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    flights: Flights[int] = Flights()
    upstream = Upstream(UpstreamUnavailable("down"))
    caller = asyncio.create_task(flights.run("k", upstream))
    await asyncio.sleep(0)
    caller.cancel()
    assert await flights.settle(0.01) == 1
    upstream.go.set()
    with caplog.at_level(logging.WARNING, "services.teacher.flights"):
        assert await flights.settle(1.0) == 0
    assert "down" in caplog.text
