"""Many callers share one fsync: a thread takes all writes that wait and makes them in one transaction."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from sqlite3 import Connection

from askback.contracts.errors import ServiceError

_TIDY_EVERY = 1000  # jobs: some 10 MiB of log, which is then overwritten instead of made longer
_LARGEST_BATCH = 256  # so that the first caller does not wait for a hundred others for long
Work = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    flush: bool


class GroupCommit:
    """The writing thread of one database. It starts with the first write."""

    def __init__(self, transaction: Callable[[bool], AbstractContextManager[Connection]], tidy: Callable[[], None]) -> None:
        """`transaction(flush)` commits when its block ends and rolls back when it raises; the thread calls `tidy` now and then."""
        self._transaction, self._tidy = transaction, tidy
        self._waiting = 0  # jobs that the thread has not finished
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # held while the thread starts or ends, so that no job comes behind the last one
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, work: Work, flush: bool = True) -> asyncio.Future[None]:
        """See `Database.write`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._closed:
                raise ServiceError("the teacher's database is closed, since the teacher is stopping; ask again when it is back")
            job = _Job(work, done, loop, flush)
            if not flush and not self._waiting:  # without an fsync it takes less than the hop to the thread
                _resolve([(done, self._commit([job])[0])])
                return done
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="teacher database writer", daemon=True)
                self._thread.start()
            self._waiting += 1
            self._jobs.put(job)
        return done

    def close(self) -> None:
        """Make the writes that wait, then end the thread."""
        with self._lock:
            if self._thread and not self._closed:
                self._jobs.put(None)
            self._closed = True
        if self._thread:
            self._thread.join()

    def _serve(self) -> None:
        last, since_tidy = False, 0
        while not last:
            batch = [self._jobs.get()]
            with suppress(queue.Empty):
                while len(batch) < _LARGEST_BATCH:
                    batch.append(self._jobs.get_nowait())
            last = batch[-1] is None
            jobs = [job for job in batch if job is not None]
            _tell(jobs, self._commit(jobs))
            since_tidy += len(jobs)
            if since_tidy >= _TIDY_EVERY:
                self._tidy()
                since_tidy = 0
            with self._lock:
                self._waiting -= len(jobs)
            del batch, jobs  # or an idle thread would keep the last answers in memory

    def _commit(self, jobs: Sequence[_Job]) -> Sequence[BaseException | None]:
        """What went wrong with each job. When one fails, each gets its own transaction, so that it fails alone."""
        begun = False
        try:
            with self._transaction(any(job.flush for job in jobs)) as connection:
                begun = True
                for job in jobs:
                    job.work(connection)
        except BaseException as error:  # whatever it is, its caller waits to hear of it
            if len(jobs) <= 1 or not begun:  # a file that another process has locked is waited for once, not once for each job
                return [error] * len(jobs)
        else:
            return [None] * len(jobs)
        return [self._commit([job])[0] for job in jobs]


def _tell(jobs: Sequence[_Job], errors: Sequence[BaseException | None]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], BaseException | None]]] = {}
    for job, error in zip(jobs, errors, strict=True):
        by_loop.setdefault(job.loop, []).append((job.done, error))
    for loop, outcomes in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: Sequence[tuple[asyncio.Future[None], BaseException | None]]) -> None:
    for done, error in outcomes:
        if done.done():  # its caller was cancelled
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
