"""The books on disk, and their sums."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from askback.contracts.teacher import BudgetState
from services.teacher.money.ledger import Entry, Ledger, Reservation
from services.teacher.storage.database import Database

NEW_YEARS_EVE = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
ENTRY = Entry(NEW_YEARS_EVE, "run-1", "paid", "big", "hash", "online", prompt_tokens=10, completion_tokens=5, cost_usd=0.1)
OTHERS = [
    replace(ENTRY, created_at=NEW_YEARS_EVE + 1, cost_usd=0.2, estimated=True, problem="no reply"),
    replace(ENTRY, run="run-2", backend="azure", model="small", kind="batch", cost_usd=0.0, prompt_tokens=7),
]
HELD = Reservation("id-2", NEW_YEARS_EVE, "run-1", "paid", "big", "hash", "batch", 0.5)


async def book(database: Database, ledger: Ledger, *entries: Entry) -> None:
    for entry in entries:
        await database.write(lambda connection, entry=entry: ledger.insert(connection, entry))  # type: ignore[misc]


async def test_an_entry_is_written_down_in_full(database: Database) -> None:
    await book(database, Ledger(database), ENTRY, OTHERS[0])
    assert database.read("SELECT * FROM ledger") == [
        (1, NEW_YEARS_EVE, "run-1", "paid", "big", "hash", "online", 10, 5, 0.1, 0, ""),
        (2, NEW_YEARS_EVE + 1, "run-1", "paid", "big", "hash", "online", 10, 5, 0.2, 1, "no reply"),
    ]


async def test_usage_is_summed_by_run_backend_model_and_day(database: Database) -> None:
    ledger = Ledger(database)
    await book(database, ledger, ENTRY, *OTHERS)
    budgets = [BudgetState(name="total", limit_usd=None, spent_usd=0.3, reserved_usd=0)]
    usage = ledger.usage(budgets)
    assert usage.total.model_dump() == {
        "name": "total", "calls": 3, "prompt_tokens": 27, "completion_tokens": 15, "cost_usd": 0.3, "estimated_usd": 0.2,
    }  # fmt: skip

    def short(rows: list) -> list[tuple[str, int, float, float]]:  # type: ignore[type-arg]
        return [(row.name, row.calls, row.cost_usd, row.estimated_usd) for row in rows]

    assert short(usage.by_run) == [("run-1", 2, 0.3, 0.2), ("run-2", 1, 0.0, 0.0)]
    assert short(usage.by_backend) == [("azure", 1, 0.0, 0.0), ("paid", 2, 0.3, 0.2)]
    assert short(usage.by_model) == [("big", 2, 0.3, 0.2), ("small", 1, 0.0, 0.0)]
    assert short(usage.by_day) == [("2025-12-31", 2, 0.1, 0.0), ("2026-01-01", 1, 0.2, 0.2)]
    assert usage.budgets == budgets


def test_an_empty_ledger_has_a_total_of_nothing(database: Database) -> None:
    usage = Ledger(database).usage()
    assert (usage.total.calls, usage.total.cost_usd, usage.by_run, usage.budgets) == (0, 0.0, [], [])


async def test_an_entry_that_is_undone_is_in_no_sum(database: Database) -> None:
    ledger = Ledger(database)

    def fail(connection: object) -> None:
        ledger.insert(connection, ENTRY)  # type: ignore[arg-type]
        raise RuntimeError

    write = database.write(fail)
    await book(database, ledger, ENTRY)
    assert isinstance(write.exception(), RuntimeError)
    assert (ledger.usage().total.calls, ledger.spent()) == (1, {"run-1": 100_000_000_000})


async def test_the_books_survive_re_opening(tmp_path: Path) -> None:
    first = Database(tmp_path / "teacher.sqlite")
    ledger = Ledger(first)
    await book(first, ledger, ENTRY, *OTHERS)
    older = replace(HELD, id="id-3", created_at=1.0, kind="online")
    for reservation in (HELD, older, replace(HELD, id="id-1")):
        await first.write(lambda connection, reservation=reservation: ledger.hold(connection, reservation))  # type: ignore[misc]
    await first.write(lambda connection: ledger.drop(connection, replace(HELD, id="id-1")))
    first.close()
    second = Database(tmp_path / "teacher.sqlite")
    assert Ledger(second).held() == [older, HELD]
    assert Ledger(second).spent() == {"run-1": 300_000_000_000, "run-2": 0}
    assert Ledger(second).usage().total.calls == 3
    second.close()
