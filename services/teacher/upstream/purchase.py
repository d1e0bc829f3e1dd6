"""Buying one answer: in its turn, within the budget, tried again where that can help, booked whatever happens."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from askback.contracts.errors import DeadlineExceeded, ServiceError, UpstreamRejected, UpstreamUnavailable
from services.teacher.answers.completion import Completion, unusable, used_by
from services.teacher.config import OpenAISpec
from services.teacher.flights import Emit
from services.teacher.money.budget import Budget, Reservation
from services.teacher.money.ledger import Entry
from services.teacher.money.prices import Price
from services.teacher.pacing.breaker import BreakerOpen
from services.teacher.pacing.retry_after import backoff_s, retry_after_s
from services.teacher.upstream.entries import entry_of
from services.teacher.upstream.lane import Lane, Meters
from services.teacher.upstream.order import Order
from services.teacher.upstream.protocol import Lost, NotSent, Refused, Reply, TryFailed

_AGAIN = frozenset({408, 409, 425, 429})
logger = logging.getLogger(__name__)
Keep = Callable[[Completion], Awaitable[None]]
"""Begins to store an answer; it is durable when what this returns is done."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an answer is bought for."""

    run: str
    request_hash: str


class Purchaser:
    """Buys answers from one backend."""

    def __init__(self, spec: OpenAISpec, lane: Lane, budget: Budget, price: Price, meters: Meters, random: Random) -> None:
        self._spec, self._lane, self._budget, self._price, self._meters, self._random = spec, lane, budget, price, meters, random

    async def buy(self, order: Order, purpose: Purpose, emit: Emit | None, keep: Keep | None) -> Completion:
        """An answer, booked and, where it is whole, kept; both durably.

        Tried again, unless a stream has begun: connection errors, time-outs, broken answers, 408, 409, 425 and 5xx (`max_tries`
        in all), and 429 (until the deadline). Raises UpstreamRejected for what would fail again, UpstreamUnavailable or
        DeadlineExceeded for what may succeed later, BudgetExceeded.
        """
        ends = asyncio.get_running_loop().time() + self._spec.deadline_s
        begun: list[bool] = []

        def pass_on(chunk: bytes) -> None:
            begun.append(True)
            assert emit is not None
            emit(chunk)

        tries = limited = 0
        while True:
            try:
                return await self._try(order, purpose, pass_on if emit else None, keep, ends)
            except BreakerOpen as refusal:
                await self._wait_for_breaker(refusal, tries, ends)
            except TryFailed as failure:
                tries, limited = tries + (not _is_limit(failure)), limited + _is_limit(failure)
                if begun or tries >= self._spec.max_tries or not _may_help(failure):
                    raise self._final(failure) from failure
                await self._pause(failure, tries + limited, ends)

    async def _try(self, order: Order, purpose: Purpose, emit: Emit | None, keep: Keep | None, ends: float) -> Completion:
        async with self._lane.turn(order.tokens, ends) as turn:
            reservation = await self._reserve(order, purpose, ends)
            try:
                reply = await self._lane.send(turn, order.body, emit)
            except (NotSent, Refused):
                await self._budget.release(reservation)
                raise
            except BaseException as error:  # also a cancelled call may have been paid for
                await self._book(reservation, self._lost(order, purpose, error))
                raise
        return await self._take_in(reply, order, purpose, reservation, keep)

    async def _reserve(self, order: Order, purpose: Purpose, ends: float) -> Reservation:
        try:
            async with asyncio.timeout_at(ends):
                return await self._budget.reserve(purpose.run, self._spec.name, self._spec.model, purpose.request_hash, order.usd)
        except TimeoutError:
            raise DeadlineExceeded(f"backend {self._spec.name!r}: the budget is held by calls under way; the deadline came first") from None

    async def _take_in(self, reply: Reply, order: Order, purpose: Purpose, reservation: Reservation, keep: Keep | None) -> Completion:
        used, problem = used_by(reply.completion), unusable(reply.completion)
        usd = self._price.cost(*used) if used else order.usd
        prompt, answer = (used.prompt, used.completion) if used else (0, 0)
        completion = Completion(reply.body, reply.completion.get("model") or self._spec.model, prompt, answer, usd, time.time())
        entry = self._entry(purpose, completion, estimated=used is None and usd > 0, problem=problem)
        # Begins at once, so that answer and entry reach the disk in one go, the answer first.
        kept = keep(completion) if keep and not problem else None
        try:
            await self._book(reservation, entry)
        finally:
            if kept is not None:
                await kept
        return completion

    async def _book(self, reservation: Reservation, entry: Entry) -> None:
        self._meters.booked(entry.backend, entry.prompt_tokens, entry.completion_tokens, entry.cost_usd)
        await self._budget.settle(reservation, entry)

    def _lost(self, order: Order, purpose: Purpose, error: BaseException) -> Entry:
        nothing = Completion(b"", self._spec.model, cost_usd=order.usd, created_at=time.time())
        return self._entry(purpose, nothing, estimated=order.usd > 0, problem=str(error) or type(error).__name__)

    def _entry(self, purpose: Purpose, completion: Completion, *, estimated: bool, problem: str) -> Entry:
        purchase = {"run": purpose.run, "backend": self._spec.name, "request_hash": purpose.request_hash}
        return entry_of(completion, **purchase, kind="online", estimated=estimated, problem=problem)

    async def _pause(self, failure: TryFailed, tries: int, ends: float) -> None:
        """Wait before the next try; a limit's Retry-After is waited out by the pace, for all calls at once."""
        told = retry_after_s(failure.headers) or 0.0
        backoff = backoff_s(tries, self._random)
        pause = (0.0 if told else backoff) if _is_limit(failure) else max(told, backoff)
        if asyncio.get_running_loop().time() + max(pause, told) >= ends:
            raise self._final(failure) from failure
        logger.info("backend %r: %s; trying again in %.1f s", self._spec.name, failure, max(pause, told))
        await asyncio.sleep(pause)

    async def _wait_for_breaker(self, refusal: BreakerOpen, tries: int, ends: float) -> None:
        """A request that was tried before waits for its next try; a new one is refused at once, and so is one with a fallback."""
        told = refusal.retry_after_s or 1.0
        pause = told * self._random.uniform(1.0, 1.1)  # or all would come back in the same moment
        if tries == 0 or self._spec.fallback or asyncio.get_running_loop().time() + pause >= ends:
            raise refusal
        await asyncio.sleep(pause)

    def _final(self, failure: TryFailed) -> ServiceError:
        kind = UpstreamUnavailable if _may_help(failure) else UpstreamRejected
        error = kind(f"backend {self._spec.name!r}: {failure}")
        logger.warning("%s", error)  # told here because every caller may have hung up
        error.retry_after_s = retry_after_s(failure.headers) if kind is UpstreamUnavailable else None
        return error


def _is_limit(failure: TryFailed) -> bool:
    return isinstance(failure, Refused) and failure.status == 429


def _may_help(failure: TryFailed) -> bool:
    """Whether another try may succeed. An account without money answers 429 as well, and will again."""
    if isinstance(failure, Refused):
        return failure.code != "insufficient_quota" and (failure.status >= 500 or failure.status in _AGAIN)
    return not isinstance(failure, Lost) or failure.again
