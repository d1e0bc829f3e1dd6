"""The results of a batch: read line by line, good answers kept, everything that was paid for booked, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Protocol

from askback.contracts.errors import NotFound
from services.teacher.answers.cache import AnswerStore, RecentAnswers
from services.teacher.answers.completion import Completion
from services.teacher.batch.jobs import BatchJob, BatchJobs, Tally
from services.teacher.batch.lines import ResultLine, read_line
from services.teacher.batch.rows import BatchRow, BatchRows
from services.teacher.batch.upstream import BatchOffer
from services.teacher.money.budget import Budget, Reservation
from services.teacher.money.ledger import Entry, picodollars
from services.teacher.money.prices import BATCH_FACTOR
from services.teacher.upstream.entries import entry_of

_AT_A_TIME = 100  # rows booked in one transaction, and worked on before other requests get their turn


class Meters(Protocol):
    """What is counted of the money."""

    def booked(self, backend: str, prompt_tokens: int, completion_tokens: int, usd: float) -> None:
        """One answer was paid for."""


@dataclass(frozen=True, slots=True)
class Books:
    """Where a batch's results go."""

    jobs: BatchJobs
    rows: BatchRows
    budget: Budget
    store: AnswerStore
    recent: RecentAnswers
    meters: Meters
    clock: Callable[[], float]
    """Unix time in seconds."""

    def reservation(self, job: BatchJob) -> Reservation:
        """What is still set aside for `job`; 0 dollars when nothing is, such as for a batch that is free of charge."""
        nothing = Reservation("", job.created_at, job.run, job.backend, job.model, job.id, "batch", 0.0)
        held = self.budget.open_reservations("batch")
        return next((reservation for reservation in held if reservation.request_hash == job.id), nothing)


class BatchResults:
    """Takes the results of batches in."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def take_in(self, job: BatchJob, offer: BatchOffer, file_id: str) -> None:
        """Keep and book what a file of results holds, but for rows that are booked already.

        May be broken off anywhere and made again. Raises what the upstream's `download` raises, and after all else is booked
        NotFound for lines that tell of no request.
        """
        unread = 0
        async with aclosing(offer.upstream.download(file_id)) as lines:
            async for some in _chunks(lines):
                read = [read_line(line) for line in some]
                results = {result.number: result for result in read if result is not None}
                unread += read.count(None)
                rows = self._books.rows.find(job.id, list(results))
                if rows:
                    await self._book(job, offer, [(row, results[row.number]) for row in rows])
        if unread:
            raise NotFound(f"backend {job.backend!r}: {unread} lines of file {file_id} are no results")

    async def _book(self, job: BatchJob, offer: BatchOffer, results: list[tuple[BatchRow, ResultLine]]) -> None:
        tally, entries, kept = Tally(), list[Entry](), list[tuple[BatchRow, Completion]]()
        for row, line in results:
            if line.body is None:
                tally.failed += 1
                tally.errors.append((line.kind, f"requests[{row.number}]: {line.problem}"))
                continue
            completion, estimated = self._completion(job, offer, row, line)
            entries.append(_entry(job, row, completion, estimated, line.problem))
            tally.cost += picodollars(completion.cost_usd)
            if line.problem:
                tally.unusable += 1
                tally.errors.append((line.kind, f"requests[{row.number}]: {line.problem}"))
            else:
                tally.answered += 1
                kept.append((row, completion))
        await asyncio.gather(*(self._keep(row, completion) for row, completion in kept))  # before the books, or a crash could lose them
        rows = [row for row, _ in results]

        def note(connection: Connection) -> None:
            self._books.rows.drop(connection, job.id, [row.number for row in rows])
            self._books.jobs.add(connection, job.id, tally)

        await self._books.budget.book(self._books.reservation(job), entries, [row.usd for row in rows], note)
        for entry in entries:
            self._books.meters.booked(entry.backend, entry.prompt_tokens, entry.completion_tokens, entry.cost_usd)

    def _completion(self, job: BatchJob, offer: BatchOffer, row: BatchRow, line: ResultLine) -> tuple[Completion, bool]:
        """(answer, whether its cost is estimated at its upper bound since the upstream did not say what it used)."""
        assert line.body is not None
        now, model = self._books.clock(), line.model or job.model
        if offer.price is None or line.used is None:
            return Completion(line.body, model, cost_usd=row.usd, created_at=now), row.usd > 0
        usd = offer.price.cost(*line.used) * BATCH_FACTOR
        return Completion(line.body, model, line.used.prompt, line.used.completion, usd, now), False

    async def _keep(self, row: BatchRow, completion: Completion) -> None:
        """Keep the answer, unless the same request was answered otherwise since: an answer that was given stays."""
        if self._books.recent.find(row.key) is None and await self._books.store.find(row.key) is None:
            await self._books.store.keep(row.key, completion, row.provenance)
            self._books.recent.keep(row.key, completion)


def _entry(job: BatchJob, row: BatchRow, completion: Completion, estimated: bool, problem: str) -> Entry:
    return entry_of(completion, run=job.run, backend=job.backend, request_hash=row.key, kind="batch", estimated=estimated, problem=problem)


async def _chunks(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    some: list[bytes] = []
    async for line in lines:
        some.append(line)
        if len(some) == _AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
