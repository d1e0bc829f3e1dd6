"""What is on disk: it outlives re-opening and kill -9, and many callers share one transaction."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

import pytest

from askback.contracts.errors import InvalidInput, ServiceError
from services.teacher.storage.database import Database
from services.teacher.storage.group_commit import GroupCommit

SCHEMA = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
INSERT = "INSERT INTO notes VALUES (?, ?)"


@pytest.fixture(autouse=True)
def notes(database: Database) -> None:
    database.create(SCHEMA)


def put(name: str, value: str = "v") -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, (name, value))

    return work


def names(database: Database) -> list[str]:
    return [name for (name,) in database.read("SELECT name FROM notes ORDER BY rowid")]


def test_the_file_is_in_wal_mode_with_full_sync(database: Database) -> None:
    assert database.read("PRAGMA journal_mode") == [("wal",)]
    with database.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        connection.execute(INSERT, ("active", "x"))
        raise RuntimeError
    assert names(database) == []
    with database.transaction() as connection:
        connection.execute(INSERT, ("active", "y"))
    assert database.read("SELECT value FROM notes") == [("y",)]


async def test_each_noun_brings_its_own_tables(tmp_path: Path) -> None:
    first = Database(tmp_path / "deep" / "teacher.sqlite")
    first.create(SCHEMA)
    for _ in range(2):  # as after a restart
        first.create("CREATE TABLE IF NOT EXISTS nouns (a TEXT); CREATE INDEX IF NOT EXISTS nouns_by_a ON nouns (a);")
    with pytest.raises(ServiceError, match="syntax error"):
        first.create("CREATE TABLE half (a TEXT); CREATE TABLE IF NOT;")
    assert first.read("SELECT name FROM sqlite_master WHERE name IN ('nouns', 'nouns_by_a', 'half') ORDER BY name") == [("nouns",), ("nouns_by_a",)]
    await first.write(put("still writable"))
    first.close()
    second = Database(tmp_path / "deep" / "teacher.sqlite")
    assert (names(second), second.read("SELECT * FROM nouns")) == (["still writable"], [])
    second.close()


async def test_writes_of_many_callers_are_kept_in_the_order_of_the_calls(database: Database) -> None:
    await asyncio.gather(*[database.write(put(f"{i:04}")) for i in range(1000)])
    assert names(database) == [f"{i:04}" for i in range(1000)]


async def test_writes_that_wait_share_one_transaction() -> None:
    connection, begun, go = sqlite3.connect(":memory:", check_same_thread=False), [], threading.Event()

    @contextmanager
    def transaction(flush: bool) -> Iterator[Connection]:
        begun.append("one")
        yield connection

    commits, done = GroupCommit(transaction, lambda: None), []
    first = commits.write(lambda _: go.wait(10) and None)
    others = [commits.write(lambda _, i=i: done.append(i)) for i in range(600)]
    assert not first.done()
    go.set()
    await asyncio.gather(first, *others)
    commits.close()
    assert done == list(range(600)) and len(begun) <= 5  # the first alone, or with some of 600 in batches of 256


async def test_a_write_without_flush_is_made_at_once_and_never_overtakes(database: Database) -> None:
    at_once = database.write(put("a"), flush=False)
    assert at_once.done() and names(database) == ["a"]
    writes = [database.write(put(name), flush=flush) for name, flush in (("b", True), ("c", False), ("d", True))]
    await asyncio.gather(*writes)
    assert names(database) == ["a", "b", "c", "d"]
    with pytest.raises(ServiceError, match="UNIQUE"):
        await database.write(put("a"), flush=False)


async def test_the_log_is_copied_now_and_then_so_that_it_does_not_grow(database: Database, tmp_path: Path) -> None:
    log = tmp_path / "teacher.sqlite-wal"
    for _ in range(4):
        await asyncio.gather(*[database.write(put(f"{i}", "x" * 2000)) for i in range(2100)])
        await database.write(lambda connection: connection.execute("DELETE FROM notes") and None)
    assert log.stat().st_size < 40 * 2**20


async def test_a_write_that_fails_fails_alone(database: Database) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute(INSERT, ("half", "x"))
        raise RuntimeError("my own")

    works = [put("a"), refuse, put("b"), put("a"), lambda c: c.execute("nonsense") and None, put("\ud800"), put("c")]
    errors = await asyncio.gather(*[database.write(work) for work in works], return_exceptions=True)
    assert [type(error) for error in errors] == [type(None), RuntimeError, type(None), ServiceError, ServiceError, InvalidInput, type(None)]
    assert "UNIQUE" in str(errors[3]) and "surrogate" in str(errors[5])
    assert names(database) == ["a", "b", "c"]


async def test_a_file_that_cannot_be_locked_is_tried_once_for_all() -> None:
    begun, go = [], threading.Event()

    @contextmanager
    def transaction(flush: bool) -> Iterator[Connection]:
        begun.append("one")
        go.wait(10)
        raise ServiceError("database is locked")
        yield

    commits = GroupCommit(transaction, lambda: None)
    writes = [commits.write(lambda _: None) for _ in range(50)]
    go.set()
    errors = await asyncio.gather(*writes, return_exceptions=True)
    commits.close()
    assert {str(error) for error in errors} == {"database is locked"} and len(begun) <= 2


async def test_a_full_disk_is_a_service_error_and_passes(database: Database) -> None:
    def limit(pages: int) -> Callable[[Connection], None]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count={pages}") and None

    with database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        limit(pages)(connection)
    errors = await asyncio.gather(*[database.write(put(name, "x" * 100_000)) for name in "ab"], return_exceptions=True)
    assert [type(error) for error in errors] == [ServiceError, ServiceError]
    assert "disk is full; free disk space" in str(errors[0])
    await database.write(limit(pages + 1000))
    await database.write(put("c", "x" * 100_000))
    assert names(database) == ["c"]


async def test_a_cancelled_caller_does_not_undo_the_write(database: Database) -> None:
    go = threading.Event()
    blocked = database.write(lambda _: go.wait(10) and None)
    cancelled = database.write(put("kept"))
    cancelled.cancel()
    go.set()
    await blocked
    await database.write(put("later"))
    assert names(database) == ["kept", "later"] and cancelled.cancelled()


def test_several_event_loops_write_to_one_database(database: Database) -> None:
    async def write(name: str) -> None:
        await asyncio.gather(*[database.write(put(f"{name}{i}")) for i in range(50)])

    threads = [threading.Thread(target=lambda name=name: asyncio.run(write(name))) for name in "ab"]
    for thread in threads:
        thread.start()
    asyncio.run(write("c"))
    for thread in threads:
        thread.join(10)

    async def leave() -> None:
        database.write(put("left"))  # its loop is closed before the write is done

    asyncio.run(leave())
    asyncio.run(write("d"))
    assert len(names(database)) == 201


async def test_closing_makes_the_writes_that_wait_and_ends_the_thread(tmp_path: Path) -> None:
    database = Database(tmp_path / "closing.sqlite")
    database.create(SCHEMA)
    others = set(threading.enumerate())  # a database that another test left to the collector may still have its thread
    writes = [database.write(put(str(i))) for i in range(300)]
    database.close()
    await asyncio.gather(*writes)
    with pytest.raises(ServiceError, match="database is closed"):
        database.write(put("late"))
    assert not [thread for thread in threading.enumerate() if thread.name == "teacher database writer" and thread not in others]
    again = Database(tmp_path / "closing.sqlite")
    assert len(names(again)) == 300
    again.close()


def test_a_write_that_was_confirmed_survives_kill_9(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys, signal; from pathlib import Path\n"
        "from services.teacher.storage.database import Database\n"
        "async def main():\n"
        "    database = Database(Path(sys.argv[1]))\n"
        "    database.create(sys.argv[2])\n"
        "    await database.write(lambda c: c.execute(\"INSERT INTO notes VALUES ('active', 'kept')\") and None)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "other.sqlite"
    ended = subprocess.run([sys.executable, "-c", program, str(path), SCHEMA], cwd=Path(__file__).parents[3], env=os.environ, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    database = Database(path)
    assert database.read("SELECT value FROM notes") == [("kept",)]
    database.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    path.write_text("not a database, and long enough to be taken for a header of one" * 20)
    for _ in range(2):  # the first failure does not keep the lock
        with pytest.raises(InvalidInput, match=r"TEACHER_DATABASE .*other\.sqlite: cannot be opened: file is not a database"):
            Database(path)


@pytest.mark.parametrize("script", ["CREATE TABLE answers (key TEXT)", "PRAGMA user_version=3", "PRAGMA user_version=1"])
def test_a_file_of_another_layout_is_not_touched(tmp_path: Path, script: str) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match=r"other\.sqlite: has layout [013], and this teacher reads layout 2 alone; move the file away"):
        Database(path)
    assert path.read_bytes() == before


def test_two_teachers_do_not_share_a_file(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"teacher\.sqlite: is open in another teacher; stop that one"):
        Database(tmp_path / "teacher.sqlite")
    assert names(database) == []
