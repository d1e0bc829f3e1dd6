"""The teacher: which backend answers a request, from the cache or anew."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from askback.contracts.errors import BudgetExceeded, DeadlineExceeded, NotCached, NotFound, ServiceError, UpstreamUnavailable
from services.teacher.answers.cache import AnswerStore, RecentAnswers
from services.teacher.answers.completion import Completion
from services.teacher.answers.provenance import provenance_of
from services.teacher.answers.recorded_backend import RecordedBackend
from services.teacher.backends import Backends, PaidBackend
from services.teacher.config import BackendSpec
from services.teacher.flights import Emit, Flight, Flights
from services.teacher.request.asked import Asked
from services.teacher.request.canonical import request_key
from services.teacher.upstream.sse import DONE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, or the stream of one that is still being written, and where it comes from."""

    backend: str
    request_hash: str
    """The cache's key."""
    cache: str
    """`hit`, `miss`, or `coalesced` for one who joined a call under way."""
    completion: Completion | None
    live: AsyncIterator[bytes] | None = None
    """Chunks of a stream under way; set where `completion` is not."""

    @property
    def cost_usd(self) -> float:
        """What this very request cost; a stream's cost is not known before its end."""
        return self.completion.cost_usd if self.completion is not None and self.cache == "miss" else 0.0


@dataclass(frozen=True, slots=True)
class _Landed:
    completion: Completion
    bought: bool


class Teacher:
    """Backends behind one cache."""

    def __init__(self, backends: Backends, store: AnswerStore, recent: RecentAnswers) -> None:
        self._backends, self._store, self._recent = backends, store, recent
        self._flights: Flights[_Landed] = Flights()

    def recall(self, asked: Asked) -> Answer | None:
        """The answer if it is in memory: the short way of a request that was asked before. Raises NotFound for an unknown model."""
        spec = self._backends.spec(asked.model)
        key = request_key(spec.name, spec.model, asked.meaning)
        kept = self._fresh(self._recent.find(key), asked)
        return Answer(spec.name, key, "hit", kept) if kept is not None else None

    async def knows(self, asked: Asked) -> bool:
        """Whether the named backend itself, without its fallbacks, can answer from memory, store or recordings; nothing is bought.

        Raises NotFound for an unknown model.
        """
        spec = self._backends.spec(asked.model)
        backend = self._backends[spec.name]
        if isinstance(backend, RecordedBackend):
            return backend.has(asked)
        key = request_key(spec.name, spec.model, asked.meaning)
        return self._recent.find(key) is not None or await self._store.find(key) is not None

    async def ask(self, asked: Asked) -> Answer:
        """Answer from the named backend, else from its fallbacks in order.

        A fallback is asked on NotFound and UpstreamUnavailable alone (and NotCached, where nothing may be bought): a rejected
        request would be rejected again, or worse, answered by someone the caller did not mean. When all fail, raises
        UpstreamUnavailable if a later try may succeed, else the first failure's kind.
        """
        spec = self._backends.spec(asked.model)
        try:
            async with asyncio.timeout(asked.deadline_s):
                return await self._ask_in_turn([spec, *self._backends.fallbacks(spec)], asked)
        except TimeoutError:
            raise DeadlineExceeded(
                f"backend {spec.name!r} did not answer within the {asked.deadline_s:g} s of x-askback-deadline-s;"
                " the call goes on, and its answer will be in the cache"
            ) from None

    async def _ask_in_turn(self, specs: list[BackendSpec], asked: Asked) -> Answer:
        failures: list[ServiceError] = []
        for spec in specs:
            try:
                return await self._ask(spec, asked)
            except (NotFound, NotCached, UpstreamUnavailable) as error:
                failures.append(error)
        raise _together(failures)

    async def _ask(self, spec: BackendSpec, asked: Asked) -> Answer:
        backend, key = self._backends[spec.name], request_key(spec.name, spec.model, asked.meaning)
        if isinstance(backend, RecordedBackend):  # a recording is as near as the cache
            return Answer(spec.name, key, "miss", backend.find(asked))
        kept = self._fresh(self._recent.find(key), asked)
        if kept is None and asked.cache.only_if_cached:
            kept = self._fresh(await self._find_stored(key), asked)
            if kept is None:
                raise NotCached(f"backend {spec.name!r}: there is no cached answer, and Cache-Control: only-if-cached forbids to buy one")
        if kept is not None:
            return Answer(spec.name, key, "hit", kept)
        while True:
            flight, joined = self._board(backend, spec, key, asked)
            try:
                answer = await self._land(flight, joined, spec, key, asked)
            except BudgetExceeded:
                if not joined or flight.payer == asked.run:
                    raise
                continue  # it was another run's budget, and this one may pay for itself
            if answer.cache != "hit" or self._fresh(answer.completion, asked) is not None:
                return answer  # else the flight was another's, who was content with an older answer

    def _board(self, backend: PaidBackend, spec: BackendSpec, key: str, asked: Asked) -> tuple[Flight[_Landed], bool]:
        """The flight to this answer, and whether it was under way. Without an await, or two could set out."""
        flight_key = f"{key} unkept" if asked.cache.no_store else key
        flight = self._flights.join(flight_key)
        if flight is not None:
            return flight, True
        return self._flights.start(flight_key, asked.run, asked.stream, lambda emit: self._fetch(backend, key, asked, emit)), False

    async def _fetch(self, backend: PaidBackend, key: str, asked: Asked, emit: Emit) -> _Landed:
        """The stored answer, else a bought one; the answer outlives its callers."""
        kept = None if asked.cache.no_cache else self._fresh(await self._find_stored(key), asked)
        if kept is not None:
            return _Landed(kept, bought=False)

        whole: list[Completion] = []

        def keep(completion: Completion) -> Awaitable[None]:
            whole.append(completion)
            return self._store.keep(key, completion, provenance_of(asked, backend.name))

        bought = await backend.buy(asked, key, emit if asked.stream else None, None if asked.cache.no_store else keep)
        if whole:
            self._recent.keep(key, bought)
        return _Landed(bought, bought=True)

    async def _land(self, flight: Flight[_Landed], joined: bool, spec: BackendSpec, key: str, asked: Asked) -> Answer:
        if asked.stream and flight.streaming and await flight.begun():
            return Answer(spec.name, key, "coalesced" if joined else "miss", None, _until_done(flight))
        landed = await flight.result()
        how = "coalesced" if joined else "miss"
        return Answer(spec.name, key, how if landed.bought else "hit", landed.completion)

    async def _find_stored(self, key: str) -> Completion | None:
        kept = await self._store.find(key)
        if kept is not None:
            self._recent.keep(key, kept)
        return kept

    @staticmethod
    def _fresh(kept: Completion | None, asked: Asked) -> Completion | None:
        if kept is None or asked.cache.no_cache:
            return None
        limit = asked.cache.max_age_s
        return kept if limit is None or time.time() - kept.created_at <= limit else None

    @property
    def under_way(self) -> int:
        """Upstream calls, waiting or sent."""
        return len(self._flights)

    async def settle(self, timeout_s: float) -> None:
        """Before the end: wait for answers under way, since their callers may be gone and the calls are paid for."""
        left = await self._flights.settle(timeout_s)
        if left:
            logger.warning("%d upstream calls were still under way at the end; their answers are not kept", left)


async def _until_done(flight: Flight[_Landed]) -> AsyncIterator[bytes]:
    async for chunk in flight.follow():
        yield chunk
    yield DONE


def _together(failures: list[ServiceError]) -> ServiceError:
    """One error for a chain in which every backend failed."""
    if len(failures) == 1:
        return failures[0]
    later = [error for error in failures if isinstance(error, UpstreamUnavailable)]
    error = type((later or failures)[0])("; ".join(str(failure) for failure in failures))
    error.retry_after_s = min((e.retry_after_s for e in later if e.retry_after_s is not None), default=None)
    return error
