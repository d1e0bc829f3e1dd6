"""The books: what each upstream call cost, and what calls under way may cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from operator import attrgetter
from sqlite3 import Connection
from typing import Any, Literal

from askback.contracts.teacher import BudgetState, UsageResponse, UsageRow
from services.teacher.storage.database import Database

Kind = Literal["online", "batch"]
PICO = 10**12

# `spending` repeats the ledger in sums: a ledger grows by a row for each call, and adding up a million takes seconds.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, created_at REAL NOT NULL, run TEXT NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL,
    request_hash TEXT NOT NULL, kind TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, estimated INTEGER NOT NULL, problem TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS spending (
    day TEXT NOT NULL, run TEXT NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL, calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_picousd INTEGER NOT NULL, estimated_picousd INTEGER NOT NULL,
    PRIMARY KEY (day, run, backend, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    id TEXT PRIMARY KEY, created_at REAL NOT NULL, run TEXT NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL,
    request_hash TEXT NOT NULL, kind TEXT NOT NULL, usd REAL NOT NULL
) WITHOUT ROWID;
"""
_BOOK = (
    "INSERT INTO ledger (created_at, run, backend, model, request_hash, kind, prompt_tokens, completion_tokens, cost_usd, estimated, problem)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ENTRY = attrgetter(
    "created_at", "run", "backend", "model", "request_hash", "kind", "prompt_tokens", "completion_tokens", "cost_usd", "estimated", "problem"
)
_ADD = (
    "INSERT INTO spending (day, run, backend, model, calls, prompt_tokens, completion_tokens, cost_picousd, estimated_picousd)"
    " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + 1, prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens, cost_picousd = cost_picousd + excluded.cost_picousd,"
    " estimated_picousd = estimated_picousd + excluded.estimated_picousd"
)
_HOLD = "INSERT INTO reservations (id, created_at, run, backend, model, request_hash, kind, usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_RESERVATION = attrgetter("id", "created_at", "run", "backend", "model", "request_hash", "kind", "usd")
_HELD = "SELECT id, created_at, run, backend, model, request_hash, kind, usd FROM reservations ORDER BY created_at, id"
_SPENDING = "SELECT day, run, backend, model, calls, prompt_tokens, completion_tokens, cost_picousd, estimated_picousd FROM spending"


_MOST_USD = 1e18  # beyond it is a mistake, and floats overflow in the end


def picodollars(usd: float) -> int:
    """Dollars as whole 1e-12 dollars, rounded up; raises ValueError for what is no amount of money.

    Sums of floats drift, and a drift could cross a limit; sums of integers are exact.
    """
    if not 0 <= usd < _MOST_USD:
        raise ValueError(f"{usd} dollars: must be a number from 0 to {_MOST_USD:g}")
    whole = round(usd * PICO)
    if whole / PICO == usd:  # nearly always, and much cheaper
        return whole
    return int((Decimal(repr(usd)) * PICO).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream call that was paid for, or may have been."""

    created_at: float
    """Unix time in seconds."""
    run: str
    backend: str
    model: str
    request_hash: str
    kind: Kind
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    estimated: bool = False
    """Whether the call is booked at its upper bound, since it is unknown what it cost."""
    problem: str = ""
    """Why the answer could not be used; empty for a good one."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Dollars set aside for one upstream call."""

    id: str
    created_at: float
    """Unix time in seconds."""
    run: str
    backend: str
    model: str
    request_hash: str
    kind: Kind
    usd: float
    """The most that the call can cost; a reservation of 0 dollars is not written down."""


class Ledger:
    """Entries and reservations on disk. What takes a connection is for use inside one transaction of `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    def insert(self, connection: Connection, entry: Entry) -> None:
        """Book `entry`."""
        day = datetime.fromtimestamp(entry.created_at, UTC).date().isoformat()
        cost = picodollars(entry.cost_usd)
        used = (entry.prompt_tokens, entry.completion_tokens, cost, cost if entry.estimated else 0)
        connection.execute(_BOOK, _ENTRY(entry))
        connection.execute(_ADD, (day, entry.run, entry.backend, entry.model, *used))

    def hold(self, connection: Connection, reservation: Reservation) -> None:
        """Write `reservation` down."""
        connection.execute(_HOLD, _RESERVATION(reservation))

    def drop(self, connection: Connection, reservation: Reservation) -> None:
        """Take `reservation` off the books, if it is there."""
        connection.execute("DELETE FROM reservations WHERE id = ?", (reservation.id,))

    def held(self) -> list[Reservation]:
        """All reservations, the oldest first."""
        return [Reservation(*row) for row in self._database.read(_HELD)]

    def spent(self) -> dict[str, int]:
        """Picodollars booked so far by run."""
        return dict(self._database.read("SELECT run, sum(cost_picousd) FROM spending GROUP BY run"))

    def usage(self, budgets: Sequence[BudgetState] = ()) -> UsageResponse:
        """All that is booked, summed up; `budgets` is passed through."""
        rows = self._database.read(_SPENDING)
        return UsageResponse(
            total=_sum("total", rows),
            by_day=_grouped(rows, 0),
            by_run=_grouped(rows, 1),
            by_backend=_grouped(rows, 2),
            by_model=_grouped(rows, 3),
            budgets=list(budgets),
        )


def _grouped(rows: Sequence[tuple[Any, ...]], column: int) -> list[UsageRow]:
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return [_sum(name, groups[name]) for name in sorted(groups)]


def _sum(name: str, rows: Sequence[tuple[Any, ...]]) -> UsageRow:
    calls, prompt, completion, cost, estimated = (sum(row[column] for row in rows) for column in range(4, 9))
    return UsageRow(name=name, calls=calls, prompt_tokens=prompt, completion_tokens=completion, cost_usd=cost / PICO, estimated_usd=estimated / PICO)
