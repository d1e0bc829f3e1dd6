"""The way of one batch, step by step. A step that fails, or whose end is not written down, is made again."""

import logging
from collections.abc import Sequence
from sqlite3 import Connection

from askback.contracts.errors import NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from services.teacher.batch.jobs import BatchJob, Outcome, Tally
from services.teacher.batch.results import BatchResults, Books
from services.teacher.batch.upstream import CANCELLABLE, ENDED, BatchOffer
from services.teacher.money.ledger import Entry, picodollars

logger = logging.getLogger(__name__)


class BatchRunner:
    """Makes the steps of batches; one at a time for each batch."""

    def __init__(self, books: Books) -> None:
        self._books, self._results = books, BatchResults(books)

    async def step(self, job: BatchJob, offer: BatchOffer) -> bool:
        """Make one step; False when there is nothing to do but to ask again later. Raises ServiceError for a step to be tried again."""
        if job.step == "submitted":
            return await self._look(job, offer)
        if job.step == "created":
            await self._upload(job, offer)
        elif job.step == "uploaded":
            await self._find_or_create(job, offer)
        elif job.step == "fetching":
            await self._fetch(job, offer)
        return True

    async def give_up(self, job: BatchJob, reason: str) -> None:
        """End a batch of which nothing more can be learned. If the upstream may have it, all that is open is booked at its upper bound."""
        if job.step == "created":
            await self._finish(job, "cancelled")
        else:
            await self._finish(job, job.outcome or "failed", ("lost", reason), lost=True)

    async def _upload(self, job: BatchJob, offer: BatchOffer) -> None:
        if job.cancel_requested:
            await self._finish(job, "cancelled")
            return
        try:
            file_id = await offer.upstream.upload(f"askback-{job.id}.jsonl", self._books.rows.lines(job.id))
        except (UpstreamRejected, NotFound) as error:
            await self._finish(job, "failed", ("upload refused", str(error)))
            return
        await self._books.jobs.uploaded(job.id, file_id)
        await self._create(self._books.jobs.get(job.id), offer)  # without a search, since nobody else knows the file

    async def _find_or_create(self, job: BatchJob, offer: BatchOffer) -> None:
        """Also when the search is refused nothing is created: the upstream may be at work on the batch."""
        found = await offer.upstream.find(job.id, job.file_id)
        if found is not None:
            await self._books.jobs.submitted(job.id, found.id)
        else:
            await self._create(job, offer)

    async def _create(self, job: BatchJob, offer: BatchOffer) -> None:
        if job.cancel_requested:
            await self._finish(job, "cancelled")
            return
        try:
            batch = await offer.upstream.create(job.id, job.file_id)
        except (UpstreamRejected, NotFound) as error:
            await self._finish(job, "failed", ("batch refused", str(error)))
            return
        await self._books.jobs.submitted(job.id, batch.id)

    async def _look(self, job: BatchJob, offer: BatchOffer) -> bool:
        try:
            batch = await offer.upstream.status(job.upstream_id)
        except NotFound as error:
            await self._lose(job, error)
            return True
        if batch.status in ENDED:
            if batch.completed and not batch.output_file_id:
                raise UpstreamUnavailable(f"backend {job.backend!r}: {batch.completed} answers are ready, and the file that holds them is not")
            await self._books.jobs.ended(job.id, batch)
            return True
        if job.cancel_requested and batch.status in CANCELLABLE:
            try:
                await offer.upstream.cancel(job.upstream_id)
            except (UpstreamRejected, NotFound) as error:  # it may have ended in this moment; the next look tells
                logger.warning("batch %s: cannot be cancelled: %s", job.id, error)
        return False

    async def _fetch(self, job: BatchJob, offer: BatchOffer) -> None:
        try:
            if job.output_file_id:
                await self._results.take_in(job, offer, job.output_file_id)
        except NotFound as error:
            await self._lose(job, error)
            return
        try:
            if job.error_file_id:
                await self._results.take_in(job, offer, job.error_file_id)
        except NotFound as error:  # it holds no answers, and so no costs
            logger.warning("batch %s: what failed is not known: %s", job.id, error)
        await self._finish(job, job.outcome)

    async def _lose(self, job: BatchJob, error: NotFound) -> None:
        """The upstream denies what it had: another key, or a deleted file. Only the caller can say that it will not come back."""
        if not job.cancel_requested:
            raise UpstreamUnavailable(f"{error}; if it is lost, cancel the batch, which books what is open at the most that it can have cost")
        await self.give_up(job, str(error))

    async def _finish(self, job: BatchJob, outcome: Outcome, error: tuple[str, str] | None = None, *, lost: bool = False) -> None:
        """End the batch: give back what is still reserved, or book it where answers may be paid for and `lost`."""
        books, reservation, now = self._books, self._books.reservation(job), self._books.clock()
        tally = Tally(errors=[error] if error else [])
        entries: Sequence[Entry] = ()
        if lost and reservation.usd > 0:
            tally.cost, reason = picodollars(reservation.usd), error[1] if error else ""
            entries = [
                Entry(now, job.run, job.backend, job.model, job.id, "batch", 0, 0, reservation.usd, estimated=True, problem=reason),
            ]

        def write(connection: Connection) -> None:
            books.jobs.add(connection, job.id, tally)
            books.jobs.finish(connection, job.id, outcome, now)

        await books.budget.book(reservation, entries, [reservation.usd], write)
        for entry in entries:
            books.meters.booked(entry.backend, 0, 0, entry.cost_usd)
        try:
            await books.rows.discard(job.id)
        except ServiceError as failure:  # the batch is over all the same; the next start tidies up
            logger.warning("batch %s: its rows are left behind: %s", job.id, failure)
