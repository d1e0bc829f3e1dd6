"""No budget is ever passed: under any concurrency, after kill -9, with a failing disk."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from sqlite3 import Connection

import pytest

from askback.contracts.errors import BudgetExceeded, InvalidInput, ServiceError
from services.teacher.money.budget import Budget, Reservation
from services.teacher.money.ledger import Entry, Kind, Ledger, picodollars
from services.teacher.storage.database import Database

Open = Callable[..., Budget]


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def open_budget(database: Database, ledger: Ledger) -> Open:
    return lambda total_usd=None, run_usd=None: Budget(database, ledger, total_usd, run_usd, clock=lambda: 1000.0)


async def reserve(budget: Budget, usd: float, run: str = "r", kind: Kind = "online") -> Reservation:
    return await budget.reserve(run, "paid", "big", "hash", usd, kind)


def entry(reservation: Reservation, usd: float) -> Entry:
    return Entry(2000.0, reservation.run, "paid", "big", "hash", reservation.kind, 10, 5, usd)


async def pay(budget: Budget, bound: float, cost: float, run: str = "r") -> bool:
    """One call; False when the budget refuses it."""
    try:
        reservation = await reserve(budget, bound, run)
    except BudgetExceeded:
        return False
    for state in budget.states():
        assert state.limit_usd is None or round(state.spent_usd + state.reserved_usd, 12) <= state.limit_usd
    await budget.settle(reservation, entry(reservation, cost))
    return True


async def start(call: Awaitable[Reservation]) -> asyncio.Task[Reservation]:
    """The call as a task, once it can go on no further by itself."""
    task = asyncio.ensure_future(call)
    for _ in range(5):
        await asyncio.sleep(0)
    return task  # type: ignore[return-value]


def booked(database: Database) -> float:
    return sum(usd for (usd,) in database.read("SELECT cost_usd FROM ledger"))


def rows_held(database: Database) -> int:
    return len(database.read("SELECT id FROM reservations"))


async def test_of_a_thousand_calls_at_once_only_those_are_made_that_fit(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=0.7)
    paid = await asyncio.gather(*[pay(budget, bound=0.07, cost=0.07) for _ in range(1000)])
    assert sum(paid) == 10
    assert (budget.spent_usd, budget.reserved_usd) == (0.7, 0.0)
    assert booked(database) == pytest.approx(0.7) and rows_held(database) == 0
    again = open_budget(total_usd=0.77)
    assert await pay(again, 0.07, 0.07) and not await pay(again, 1e-12, 0.0)  # to the last cent, also after a restart


async def test_what_calls_do_not_use_of_their_bound_is_used_by_others(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=1.0)
    paid = await asyncio.gather(*[pay(budget, bound=0.1, cost=0.01) for _ in range(1000)])
    assert sum(paid) == 91  # after 91, another could cost more than what is left
    assert booked(database) == pytest.approx(0.91)


async def test_total_and_run_limits_both_hold(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0, run_usd=0.3)
    paid = await asyncio.gather(*[pay(budget, 0.1, 0.1, run=f"run{max(0, i - 50) % 5}") for i in range(500)])
    assert sum(paid) == 10
    states = {state.name: state.spent_usd for state in budget.states()}
    assert states.pop("total") == 1.0
    assert max(states.values()) == 0.3 and list(states) == [f"run:run{i}" for i in range(5)]


async def test_calls_that_name_no_run_have_the_total_alone_for_a_limit(open_budget: Open) -> None:
    budget = open_budget(total_usd=0.3, run_usd=0.1)
    assert [await pay(budget, 0.1, 0.1, run="") for _ in range(4)] == [True, True, True, False]
    assert [state.name for state in budget.states()] == ["total"]


async def test_runs_do_not_share_a_limit(open_budget: Open) -> None:
    budget = open_budget(run_usd=0.1)
    assert await pay(budget, 0.1, 0.1, run="a") and await pay(budget, 0.1, 0.1, run="b")
    with pytest.raises(BudgetExceeded) as caught:
        await reserve(budget, 0.05, run="a")
    assert str(caught.value) == (
        "budget 'run:a': 0.1 dollars are spent and 0 reserved of 0.1, and this call could cost up to 0.05; raise the limit with"
        ' PUT /v1/budgets/runs/a {"limit_usd": ...}, or, where none was set that way, with run_usd under [budget] in the backends file'
    )


async def test_a_call_that_can_never_fit_is_refused_though_others_wait(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    await reserve(budget, 0.9)
    waiting = await start(reserve(budget, 0.2))
    with pytest.raises(BudgetExceeded, match=r"0 dollars are spent and 0\.9 reserved of 1, .* 1\.1; .*PUT /v1/budgets/total .*total_usd"):
        await reserve(budget, 1.1)
    waiting.cancel()


async def test_who_waits_is_granted_in_turn_when_calls_turn_out_cheap(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    first = await reserve(budget, 0.8)
    large, small = await start(reserve(budget, 0.9)), await start(reserve(budget, 0.1))
    assert budget.reserved_usd == 0.8  # the small one would fit, and does not overtake
    await budget.settle(first, entry(first, 0.05))
    held = await large
    assert held.usd == budget.reserved_usd == 0.9
    await budget.release(held)
    assert (await small).usd == 0.1


async def test_who_waits_is_refused_when_calls_turn_out_dear(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    first = await reserve(budget, 0.8)
    waiting, behind = await start(reserve(budget, 0.3)), await start(reserve(budget, 0.2))
    await budget.settle(first, entry(first, 0.8))
    with pytest.raises(BudgetExceeded, match=r"0\.8 dollars are spent"):
        await waiting
    assert (await behind).usd == 0.2


async def test_a_run_that_waits_for_its_own_limit_holds_up_no_other(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0, run_usd=0.5)
    first = await reserve(budget, 0.5, run="a")
    waiting = await start(reserve(budget, 0.5, run="a"))
    other = await reserve(budget, 0.5, run="b")
    await budget.release(first)  # now the total is free again as well
    assert (await waiting).run == "a"
    await budget.release(other)


async def test_raising_a_limit_frees_those_who_wait_and_outlives_a_restart(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0, run_usd=1.0)
    first = await reserve(budget, 1.0)
    waiting = await start(reserve(budget, 1.0))
    await budget.set_limit("run:r", 2.0)
    assert budget.reserved_usd == 1.0  # the total still stands in the way
    await budget.set_limit("total", None)
    second = await waiting
    await budget.settle(first, entry(first, 1.0))
    await budget.settle(second, entry(second, 1.0))
    again = open_budget(total_usd=1.0, run_usd=1.0)
    assert [state.limit_usd for state in again.states()] == [None, 2.0]
    with pytest.raises(BudgetExceeded, match="'run:r'"):
        await reserve(again, 0.1)
    await again.set_limit("run:r", 2.1)
    await again.release(await reserve(again, 0.1))


async def test_lowering_a_limit_refuses_those_who_wait(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    first = await reserve(budget, 1.0)
    waiting = await start(reserve(budget, 0.5))
    await budget.set_limit("total", 0.4)
    with pytest.raises(BudgetExceeded):
        await waiting
    await budget.release(first)
    assert await pay(budget, 0.4, 0.4)


@pytest.mark.parametrize("name, limit", [("r", 1.0), ("", 1.0), ("total", -1.0), ("total", float("nan")), ("run:r", float("inf"))])
async def test_a_limit_that_makes_no_sense_is_refused(open_budget: Open, name: str, limit: float) -> None:
    with pytest.raises(InvalidInput, match=r"^budget|^limit_usd"):
        await open_budget().set_limit(name, limit)


async def test_spending_and_lost_reservations_outlive_a_restart(tmp_path: Path) -> None:
    first = Database(tmp_path / "restart.sqlite")
    budget = Budget(first, Ledger(first), 1.0, 0.6)
    await pay(budget, 0.2, 0.15)
    await reserve(budget, 0.1, run="lost")
    first.close()
    second = Database(tmp_path / "restart.sqlite")
    ledger = Ledger(second)
    again = Budget(second, ledger, 1.0, 0.6)
    assert {state.name: (state.spent_usd, state.reserved_usd) for state in again.states()} == {
        "total": (0.25, 0.0), "run:lost": (0.1, 0.0), "run:r": (0.15, 0.0),
    }  # fmt: skip
    assert rows_held(second) == 0 and ledger.usage().total.estimated_usd == 0.1
    assert second.read("SELECT run, cost_usd, estimated, problem FROM ledger WHERE estimated") == [
        ("lost", 0.1, 1, "the proxy ended before the reply came")
    ]
    assert await pay(again, 0.45, 0.0) and not await pay(again, 0.46, 0.0)  # 0.6 less 0.15 for this run
    second.close()


def test_a_call_under_way_at_kill_9_is_booked_at_its_bound(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys, signal; from pathlib import Path\n"
        "from services.teacher.money.budget import Budget; from services.teacher.money.ledger import Ledger\n"
        "from services.teacher.storage.database import Database\n"
        "async def main():\n"
        "    database = Database(Path(sys.argv[1]))\n"
        "    await Budget(database, Ledger(database), 1.0, None).reserve('r', 'paid', 'big', 'hash', 0.7)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "killed.sqlite"
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=Path(__file__).parents[3], env=os.environ, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    database = Database(path)
    budget = Budget(database, Ledger(database), 1.0, None)
    assert (budget.spent_usd, budget.reserved_usd, rows_held(database)) == (0.7, 0.0, 0)
    assert database.read("SELECT cost_usd, estimated FROM ledger") == [(0.7, 1)]
    database.close()


async def test_a_batch_stays_reserved_over_a_restart(open_budget: Open, database: Database) -> None:
    held = await reserve(open_budget(total_usd=1.0), 0.6, kind="batch")
    again = open_budget(total_usd=1.0)
    assert (again.open_reservations("batch"), again.open_reservations("online"), again.reserved_usd) == ([held], [], 0.6)
    await again.settle(held, entry(held, 0.3))
    assert (again.spent_usd, again.reserved_usd, again.open_reservations("batch"), rows_held(database)) == (0.3, 0.0, [], 0)


async def test_a_batch_is_booked_part_by_part(open_budget: Open, database: Database) -> None:
    budget, seen = open_budget(10.0), list[str]()
    batch = await reserve(budget, 6.0, kind="batch")
    await budget.book(batch, [entry(batch, 0.5), entry(batch, 0.25)], [1.0, 1.0, 2.0], lambda _: seen.append("noted"))
    assert (budget.spent_usd, budget.reserved_usd, booked(database), seen) == (0.75, 2.0, 0.75, ["noted"])
    reopened = open_budget(10.0)
    assert (reopened.spent_usd, reopened.reserved_usd) == (0.75, 2.0)
    await reopened.book(batch, [entry(batch, 2.0)], [2.0], lambda _: None)
    assert (reopened.spent_usd, reopened.reserved_usd, reopened.open_reservations("batch"), rows_held(database)) == (2.75, 0.0, [], 0)


async def test_dollars_that_a_batch_frees_go_to_those_who_wait(open_budget: Open) -> None:
    budget = open_budget(4.0)
    first = await reserve(budget, 3.0, kind="batch")
    waiting = await start(reserve(budget, 2.0, kind="batch"))
    await budget.book(first, [entry(first, 0.25)], [1.0], lambda _: None)
    assert not waiting.done()
    await budget.book(first, [entry(first, 0.25)], [1.0], lambda _: None)
    await waiting
    await budget.release(first)  # of which the last dollar was open
    assert (budget.spent_usd, budget.reserved_usd) == (0.5, 2.0)


async def test_a_part_whose_booking_fails_is_booked_again(open_budget: Open, database: Database) -> None:
    budget = open_budget(10.0)
    batch = await reserve(budget, 6.0, kind="batch")
    async with failing(database, "ledger"):
        with pytest.raises(ServiceError):
            await budget.book(batch, [entry(batch, 1.0)], [2.0], lambda _: None)
        assert (budget.spent_usd, budget.reserved_usd) == (0.0, 6.0)
    await budget.book(batch, [entry(batch, 1.0)], [2.0], lambda _: None)
    assert (budget.spent_usd, budget.reserved_usd, booked(database)) == (1.0, 4.0, 1.0)


async def test_parts_of_a_free_batch_are_booked_without_a_reservation(open_budget: Open, database: Database) -> None:
    budget = open_budget(1.0)
    batch = await reserve(budget, 0.0, kind="batch")
    await budget.book(batch, [entry(batch, 0.0)], [0.0], lambda _: None)
    assert (budget.spent_usd, budget.reserved_usd, rows_held(database)) == (0.0, 0.0, 0)
    assert database.read("SELECT count(*) FROM ledger") == [(1,)]


async def test_online_calls_do_not_wait_for_a_batch_nor_behind_one(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    running = await reserve(budget, 0.6, kind="batch")
    with pytest.raises(BudgetExceeded, match=r"0\.6 reserved of 1"):
        await reserve(budget, 0.5)  # the batch may take a day
    second = await start(reserve(budget, 0.5, kind="batch"))
    assert await pay(budget, 0.4, 0.1)
    online = await reserve(budget, 0.3)
    later = await start(reserve(budget, 0.1))
    await budget.settle(running, entry(running, 0.0))
    assert (await later).usd == 0.1
    assert (await second).usd == 0.5  # 0.1 spent, 0.3 + 0.1 online
    await budget.release(online)


async def test_a_batch_does_not_slip_past_waiting_online_calls(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    first = await reserve(budget, 0.8)
    online = await start(reserve(budget, 0.9))
    batch = await start(reserve(budget, 0.1, kind="batch"))
    assert budget.reserved_usd == 0.8
    online.cancel()
    assert (await batch).usd == 0.1
    await budget.release(first)


async def test_a_caller_cancelled_while_it_waits_has_reserved_nothing(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=1.0)
    first = await reserve(budget, 0.9)
    gone, behind = await start(reserve(budget, 0.9)), await start(reserve(budget, 0.1))
    gone.cancel()
    assert (await behind).usd == 0.1  # the one in front of it was all that it waited for
    granted = await start(reserve(budget, 0.9))
    await budget.release(await behind)
    released = budget.release(first)
    task = asyncio.ensure_future(released)
    await asyncio.sleep(0)  # granted in this step, and cancelled before it can go on
    granted.cancel()
    await task
    with pytest.raises(asyncio.CancelledError):
        await granted
    assert budget.reserved_usd == 0.0
    await database.write(lambda _: None)
    assert rows_held(database) == 0


async def test_a_caller_cancelled_while_its_row_is_written_has_reserved_nothing(open_budget: Open, database: Database) -> None:
    budget, go = open_budget(total_usd=1.0), threading.Event()
    blocked = database.write(lambda _: go.wait(10) and None)
    caller = await start(reserve(budget, 0.9))
    assert budget.reserved_usd == 0.9
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (budget.reserved_usd, budget.open_reservations("online")) == (0.0, [])
    go.set()
    await blocked
    await database.write(lambda _: None)
    assert rows_held(database) == 0


@asynccontextmanager
async def failing(database: Database, table: str) -> AsyncIterator[None]:
    await database.write(lambda c: c.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END") and None)
    yield
    await database.write(lambda c: c.execute("DROP TRIGGER full") and None)


async def test_no_call_goes_out_whose_reservation_cannot_be_written(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=1.0)
    async with failing(database, "reservations"):
        with pytest.raises(ServiceError, match="cannot be written: full"):
            await reserve(budget, 0.9)
        assert (budget.reserved_usd, budget.open_reservations("online")) == (0.0, [])
    assert await pay(budget, 0.9, 0.9)


async def test_money_whose_booking_fails_still_counts(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=1.0)
    held = await reserve(budget, 0.9)
    async with failing(database, "ledger"):
        with pytest.raises(ServiceError, match="cannot be written: full"):
            await budget.settle(held, entry(held, 0.6))
    assert (budget.spent_usd, budget.reserved_usd) == (0.6, 0.0)
    assert not await pay(budget, 0.5, 0.0)
    assert rows_held(database) == 1 and open_budget().spent_usd == 0.9  # the next process takes it for lost


async def test_the_answer_is_kept_in_the_transaction_that_books_it(open_budget: Open, database: Database) -> None:
    database.create("CREATE TABLE IF NOT EXISTS notes (text TEXT PRIMARY KEY);")
    budget = open_budget(total_usd=1.0)

    def note(connection: Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('kept')")

    first, second = await reserve(budget, 0.1), await reserve(budget, 0.1)
    await budget.settle(first, entry(first, 0.1), also=note)
    with pytest.raises(ServiceError, match="UNIQUE"):
        await budget.settle(second, entry(second, 0.1), also=note)
    assert database.read("SELECT text FROM notes") == [("kept",)]
    assert booked(database) == 0.1 and rows_held(database) == 1 and budget.spent_usd == 0.2


async def test_a_call_dearer_than_its_bound_is_counted_in_full_and_told(open_budget: Open, caplog: pytest.LogCaptureFixture) -> None:
    budget = open_budget(total_usd=1.0)
    held = await reserve(budget, 0.5)
    with caplog.at_level(logging.WARNING):
        await budget.settle(held, entry(held, 1.5))
    assert "backend 'paid': a call cost 1.5 dollars, and at most 0.5 were reserved" in caplog.text
    assert budget.spent_usd == 1.5 and not await pay(budget, 0.0000001, 0.0)


async def test_free_calls_need_no_money_and_no_row(open_budget: Open, database: Database) -> None:
    budget = open_budget(total_usd=0.0)
    free = await reserve(budget, 0.0)
    assert rows_held(database) == 0
    await budget.settle(free, entry(free, 0.0))
    await budget.release(await reserve(budget, 0.0))
    assert database.read("SELECT count(*), sum(cost_usd) FROM ledger") == [(1, 0.0)]
    await budget.settle(free, entry(free, 0.2))  # it was not free after all
    assert (budget.spent_usd, budget.reserved_usd) == (0.2, 0.0)


async def test_closing_a_reservation_twice_gives_nothing_back_twice(open_budget: Open) -> None:
    budget = open_budget(total_usd=1.0)
    held, other = await reserve(budget, 0.4), await reserve(budget, 0.4)
    await budget.release(held)
    await budget.release(held)
    assert budget.reserved_usd == 0.4
    await budget.settle(other, entry(other, 0.1))
    await budget.release(other)
    assert (budget.spent_usd, budget.reserved_usd) == (0.1, 0.0)


@pytest.mark.parametrize("usd", [float("nan"), float("inf"), -0.1])
async def test_a_bound_that_is_no_amount_is_never_granted(open_budget: Open, usd: float) -> None:
    with pytest.raises(ValueError, match="must be a number from 0"):
        await reserve(open_budget(total_usd=1.0), usd)


@pytest.mark.parametrize("usd, whole", [(0.07, 70_000_000_000), (1e-12, 1), (1.2e-12, 2), (3.0000000000000004e-07, 300_001), (0, 0)])
def test_dollars_are_rounded_up_and_nothing_else_is_added(usd: float, whole: int) -> None:
    assert picodollars(usd) == whole


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_callers_do_limits_hold_and_nobody_waits_for_ever(open_budget: Open, database: Database, seed: int) -> None:
    random, budget = Random(seed), open_budget(total_usd=3.0, run_usd=1.0)

    async def call(number: int) -> None:
        usd, kind = random.choice([0.05, 0.2, 0.4]), random.choice(["online", "online", "batch"])
        try:
            held = await reserve(budget, usd, run=f"run{number % 4}", kind=kind)  # type: ignore[arg-type]
        except BudgetExceeded:
            return
        try:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
                assert all(round(state.spent_usd + state.reserved_usd, 12) <= (state.limit_usd or 0) for state in budget.states())
        except asyncio.CancelledError:  # whoever holds dollars gives them back, or others would wait for them
            await budget.settle(held, entry(held, usd))
            raise
        if random.random() < 0.5:
            await budget.release(held)
        else:
            await budget.settle(held, entry(held, usd * random.random() * 0.2))

    tasks = [asyncio.create_task(call(number)) for number in range(300)]
    for task in random.sample(tasks, 60):
        await asyncio.sleep(0)
        task.cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert {type(result) for result in done} <= {type(None), asyncio.CancelledError}
    await database.write(lambda _: None)
    assert not [*budget.open_reservations("online"), *budget.open_reservations("batch")]
    assert rows_held(database) == 0 and budget.reserved_usd == 0
    assert budget.spent_usd == pytest.approx(booked(database))
