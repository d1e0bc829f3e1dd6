"""Batches: many requests at half the price, answered within a day, and then in the cache."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from askback.contracts.errors import BudgetExceeded, InvalidInput, UpstreamUnavailable
from askback.contracts.teacher import BatchesResponse, BatchRequest, BatchState
from services.teacher.answers.cache import AnswerStore, RecentAnswers
from services.teacher.batch.follower import BatchFollower
from services.teacher.batch.jobs import BatchJob, BatchJobs
from services.teacher.batch.orders import BatchOrders, Ordered
from services.teacher.batch.results import Books, Meters
from services.teacher.batch.rows import BatchRows
from services.teacher.batch.runner import BatchRunner
from services.teacher.batch.upstream import BatchOffer
from services.teacher.config import BackendSpec
from services.teacher.money.budget import Budget, Reservation
from services.teacher.money.ledger import PICO
from services.teacher.request.asked import MAX_RUN_LENGTH
from services.teacher.storage.database import Database

logger = logging.getLogger(__name__)


class Batches:
    """Takes batches, and follows each until its answers are in the cache. For use on one event loop."""

    def __init__(
        self,
        database: Database,
        budget: Budget,
        store: AnswerStore,
        recent: RecentAnswers,
        lookup: Callable[[str], BackendSpec],
        offers: Mapping[str, BatchOffer],
        meters: Meters,
        poll_s: float = 30.0,
        patience_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`lookup` is `Backends.spec`; `offers` has every backend with `batch = true` by name.

        An upstream is asked every `poll_s`, and a new batch waits `patience_s` for dollars that calls under way hold. `clock`
        is in Unix seconds.
        """
        self._jobs, self._rows, self._budget = BatchJobs(database), BatchRows(database), budget
        books = Books(self._jobs, self._rows, budget, store, recent, meters, clock)
        self._orders, self._runner = BatchOrders(store, recent, self._rows), BatchRunner(books)
        self._follower = BatchFollower(self._jobs.get, self._runner, offers, poll_s)
        self._lookup, self._offers, self._patience_s, self._clock = lookup, offers, patience_s, clock
        self._lock = asyncio.Lock()  # two at once could both buy the same request
        self._submitting: set[asyncio.Task[BatchState]] = set()

    async def submit(self, request: BatchRequest) -> BatchState:
        """Check, pay for and store a batch; durable on return, and sent soon after. Goes on when its caller is cancelled.

        Raises InvalidInput naming `requests[i]` and the field, NotFound for an unknown backend, BudgetExceeded when the most
        that it can cost is over a limit, and UpstreamUnavailable for a backend without its key. Nothing is sent then.
        """
        task = asyncio.create_task(self._submit(request))
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
        return await asyncio.shield(task)

    async def _submit(self, request: BatchRequest) -> BatchState:
        offer = self._offer(request.backend)
        if len(request.run) > MAX_RUN_LENGTH or not request.run.isprintable():
            raise InvalidInput(f"run: must be a name of at most {MAX_RUN_LENGTH} printable characters")
        async with self._lock:
            ordered = await self._orders.read(request.requests, offer)
            job = self._new(request, ordered, offer)
            reservation = await self._reserve(job, ordered)
            try:
                await self._rows.add(job.id, ordered.rows)
                await self._jobs.create(job)
            except Exception:
                if reservation is not None:
                    await self._budget.release(reservation)
                raise
        if job.step != "done":
            self._follower.follow(job.id)
        return self._jobs.state(job)

    def state(self, identifier: str) -> BatchState:
        """How far a batch is; raises NotFound."""
        return self._shown(self._jobs.get(identifier))

    def states(self) -> BatchesResponse:
        """All batches, the newest first."""
        return BatchesResponse(batches=[self._shown(job) for job in self._jobs.all()])

    async def cancel(self, identifier: str) -> BatchState:
        """Ask for the end of a batch; what is answered by then is still kept. Does nothing to one that is over. Raises NotFound."""
        job = self._jobs.get(identifier)
        if job.step != "done":
            await self._jobs.request_cancel(identifier)
            if not self._follower.wake(identifier):
                await self._runner.give_up(job, f"backend {job.backend!r} cannot be asked any more")
                self._follower.problems.pop(identifier, None)
        return self.state(identifier)

    async def resume(self) -> None:
        """Go on with all batches that are not over; at start-up, before the first `submit`."""
        unfinished = self._jobs.unfinished()
        known = {job.id for job in unfinished}
        for reservation in self._budget.open_reservations("batch"):
            if reservation.request_hash not in known:  # the process was killed before the batch was written down
                await self._budget.release(reservation)
        await self._rows.tidy()
        for job in unfinished:
            offer = self._offers.get(job.backend)
            if offer is None or offer.missing:
                missing = offer.missing if offer else "takes no batches any more"
                problem = f"backend {job.backend!r}: {missing}; correct it and start the teacher again, or cancel the batch"
                logger.warning("batch %s: %s", job.id, problem)
                self._follower.problems[job.id] = problem
            else:
                self._follower.follow(job.id)

    async def close(self) -> None:
        """Stop following, and end the upstreams' connections; `resume` of the next process goes on."""
        for task in self._submitting:
            task.cancel()
        await asyncio.gather(*self._submitting, return_exceptions=True)
        await self._follower.close()
        for offer in self._offers.values():
            await offer.upstream.close()

    def _shown(self, job: BatchJob) -> BatchState:
        return self._jobs.state(job, self._follower.problems.get(job.id, ""))

    def _offer(self, name: str) -> BatchOffer:
        spec = self._lookup(name)
        offer = self._offers.get(spec.name)
        if offer is None:
            known = ", ".join(self._offers) or "none"
            raise InvalidInput(f"backend: {spec.name!r} takes no batches; those of kind openai with batch = true do: {known}")
        if offer.missing:
            raise UpstreamUnavailable(f"backend {spec.name!r}: {offer.missing}; set it and start the teacher again")
        return offer

    def _new(self, request: BatchRequest, ordered: Ordered, offer: BatchOffer) -> BatchJob:
        now, sent = self._clock(), len(ordered.rows)
        return BatchJob(
            id=uuid4().hex,
            backend=offer.spec.name,
            model=offer.spec.model,
            run=request.run,
            requests=len(request.requests),
            cached=ordered.cached,
            duplicates=ordered.duplicates,
            sent=sent,
            created_at=now,
            step="created" if sent else "done",
            outcome="" if sent else "completed",
            finished_at=None if sent else now,
        )

    async def _reserve(self, job: BatchJob, ordered: Ordered) -> Reservation | None:
        usd = ordered.bound / PICO
        if not usd:
            return None
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._budget.reserve(job.run, job.backend, job.model, job.id, usd, "batch")
        except TimeoutError:
            raise BudgetExceeded(
                f"this batch could cost up to {usd:g} dollars, and calls and batches under way hold them; submit it when they are over,"
                " or raise the limit with PUT /v1/budgets/total"
            ) from None
