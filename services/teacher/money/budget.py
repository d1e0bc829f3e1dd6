"""Dollar limits that hold whatever happens: each upstream call reserves the most that it can cost, and is settled after it.

The gate is in memory (`Accounts`), so that two calls never see the same dollar; the books are on disk (`Ledger`), so that the
next process knows what this one may have spent. At every moment the file holds a reservation or an entry for each call that
is out, so a call whose end nobody saw is booked at its upper bound.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from sqlite3 import Connection
from uuid import uuid4

from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.teacher import BudgetState
from services.teacher.money.accounts import RUN, TOTAL, Accounts, Claim
from services.teacher.money.ledger import PICO, Entry, Kind, Ledger, Reservation, picodollars
from services.teacher.storage.database import Database

__all__ = ["Budget", "Reservation"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS budgets (name TEXT PRIMARY KEY, limit_usd REAL) WITHOUT ROWID;"
logger = logging.getLogger(__name__)


class Budget:
    """One limit on all calls and one on each run. For use on one event loop."""

    def __init__(
        self, database: Database, ledger: Ledger, total_usd: float | None, run_usd: float | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Limits of the backends file, None for no limit; those set with `set_limit` go before them.

        Books what a killed process left reserved at its upper bound, except for batches, which go on without a process.
        """
        self._database, self._ledger, self._clock = database, ledger, clock
        self._open: dict[str, Reservation] = {}
        database.create(_SCHEMA)
        self._accounts = Accounts(_limit(total_usd), _limit(run_usd))
        for name, limit_usd in database.read("SELECT name, limit_usd FROM budgets"):
            self._accounts.set_limit(_run_of(name), _limit(limit_usd))
        self._take_over()

    def _take_over(self) -> None:
        left = self._ledger.held()
        lost = [reservation for reservation in left if reservation.kind != "batch"]
        if lost:
            with self._database.transaction() as connection:
                for reservation in lost:
                    self._ledger.drop(connection, reservation)
                    self._ledger.insert(connection, _unseen(reservation))
            logger.warning("%d calls were under way when the teacher ended; they are booked at the most that they can have cost", len(lost))
        for run, spent in self._ledger.spent().items():
            self._accounts.spend(run, spent)
        for reservation in left:
            if reservation.kind == "batch":
                self._open[reservation.id] = reservation
                self._accounts.hold(_claim_of(reservation))

    async def reserve(self, run: str, backend: str, model: str, request_hash: str, usd: float, kind: Kind = "online") -> Reservation:
        """Set aside `usd`, the most that a call can cost; outlives kill -9 on return, so that the call may go out.

        Waits, the first come first, while only calls under way stand against it, since most cost less than they reserve.
        Raises BudgetExceeded when a limit would be passed even so, and ServiceError when it cannot be written down. A caller
        that is cancelled has reserved nothing. Nothing is written, or waited for, for 0 dollars.
        """
        reservation = Reservation(uuid4().hex, self._clock(), run, backend, model, request_hash, kind, usd)
        claim = _claim_of(reservation)
        if claim.amount == 0:
            return reservation
        await self._accounts.take(claim)
        self._open[reservation.id] = reservation
        try:
            # Not flushed: a call that is out when the power goes is forgotten, and every call would wait for the disk twice.
            await self._database.write(lambda connection: self._ledger.hold(connection, reservation), flush=kind == "batch")
        except asyncio.CancelledError:
            self._close(reservation, 0)
            with suppress(ServiceError):  # the row may still be written; then this comes behind it
                self._database.write(lambda connection: self._ledger.drop(connection, reservation), flush=False)
            raise
        except BaseException:
            self._close(reservation, 0)
            raise
        return reservation

    async def release(self, reservation: Reservation) -> None:
        """Give back a reservation whose call cost nothing; does nothing for one that is closed. Outlives kill -9."""
        if self._close(reservation, 0):
            await self._database.write(lambda connection: self._ledger.drop(connection, reservation), flush=False)

    async def settle(self, reservation: Reservation, entry: Entry, also: Callable[[Connection], None] | None = None) -> None:
        """Book what the call cost in place of its reservation, and run `also`, in one transaction; durable on return.

        When that fails, raises and still counts the money as spent; the reservation then stays on disk.
        """
        cost = picodollars(entry.cost_usd)
        if cost > picodollars(reservation.usd):
            logger.warning("backend %r: a call cost %s dollars, and at most %s were reserved", entry.backend, entry.cost_usd, reservation.usd)

        def book(connection: Connection) -> None:
            self._ledger.drop(connection, reservation)
            self._ledger.insert(connection, entry)
            if also is not None:
                also(connection)

        # In memory first, and in one step with the queueing: whoever takes what is left is written down behind this.
        if not self._close(reservation, cost):
            self._accounts.spend(reservation.run, cost)
        await self._database.write(book)

    async def book(self, reservation: Reservation, entries: Sequence[Entry], parts_usd: Sequence[float], also: Callable[[Connection], None]) -> None:
        """Book `entries` in place of parts of `reservation`, and run `also`, in one transaction; durable on return.

        For a batch, whose calls end one by one: `parts_usd` is what was reserved for each call that ended, whether or not it
        cost anything. The reservation is closed with its last dollar; for a closed one, and for 0 dollars, the entries alone are
        booked. When that fails, all is as it was, and the same may be booked again: the limits hear of it once it is durable.
        One booking at a time for one reservation.
        """
        held = self._open.get(reservation.id, replace(reservation, usd=0.0))
        rest = max(0, picodollars(held.usd) - sum(map(picodollars, parts_usd)))
        left = replace(held, usd=rest / PICO)

        def write(connection: Connection) -> None:
            self._ledger.drop(connection, held)
            if rest:
                self._ledger.hold(connection, left)
            for entry in entries:
                self._ledger.insert(connection, entry)
            also(connection)

        await self._database.write(write)
        if rest:
            self._open[left.id] = left
        else:
            self._open.pop(left.id, None)
        freed = picodollars(held.usd) - picodollars(left.usd)
        self._accounts.settle(Claim(held.run, held.kind, freed), sum(picodollars(entry.cost_usd) for entry in entries))

    async def set_limit(self, name: str, limit_usd: float | None) -> None:
        """Set the limit of `total` or of `run:` and a run's id, None for no limit; durable, and those who wait are looked at again.

        Raises InvalidInput for another name, or a limit that is no amount of money.
        """
        run = _run_of(name)
        try:
            limit = _limit(limit_usd)
        except ValueError as error:
            raise InvalidInput(f"limit_usd: {error}") from error
        await self._database.write(lambda connection: _set_limit(connection, name, limit_usd))
        self._accounts.set_limit(run, limit)

    def open_reservations(self, kind: Kind) -> list[Reservation]:
        """Those that are neither released nor settled, the oldest first."""
        return [reservation for reservation in self._open.values() if reservation.kind == kind]

    def states(self) -> list[BudgetState]:
        """The total, then each run that has spent, reserved or been given a limit, by name."""
        return self._accounts.states()

    @property
    def spent_usd(self) -> float:
        """Dollars spent in all."""
        return self._accounts.total.spent_usd

    @property
    def reserved_usd(self) -> float:
        """The most dollars that calls under way can cost."""
        return self._accounts.total.reserved_usd

    @property
    def limit_usd(self) -> float:
        """The most that may be spent in all; infinite without a limit."""
        limit = self._accounts.total.limit_usd
        return math.inf if limit is None else limit

    def _close(self, reservation: Reservation, cost: int) -> bool:
        """Settle `reservation` in memory; False when it is not open."""
        held = self._open.pop(reservation.id, None)  # of which a part may be booked already
        if held is None:
            return False
        self._accounts.settle(_claim_of(held), cost)
        return True


def _claim_of(reservation: Reservation) -> Claim:
    return Claim(reservation.run, reservation.kind, picodollars(reservation.usd))


def _set_limit(connection: Connection, name: str, limit_usd: float | None) -> None:
    connection.execute("INSERT OR REPLACE INTO budgets (name, limit_usd) VALUES (?, ?)", (name, limit_usd))


def _limit(usd: float | None) -> int | None:
    return None if usd is None else picodollars(usd)


def _run_of(name: str) -> str | None:
    if name == TOTAL:
        return None
    if not name.startswith(RUN):
        raise InvalidInput(f"budget {name!r}: must be {TOTAL!r}, or {RUN!r} and the run's id")
    return name.removeprefix(RUN)


def _unseen(reservation: Reservation) -> Entry:
    return Entry(
        created_at=reservation.created_at,
        run=reservation.run,
        backend=reservation.backend,
        model=reservation.model,
        request_hash=reservation.request_hash,
        kind=reservation.kind,
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=reservation.usd,
        estimated=True,
        problem="the proxy ended before the reply came",
    )
