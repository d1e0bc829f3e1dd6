"""Nothing counts as kept before it is fsynced, and a disk that fails is heard of."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from askback.contracts.records import Message
from askback.loop.store import Appender

ONE = Message(role="user", content="one")


class Disk:
    """Stands in for os.fsync: waits until it is let go, and fails when it is told to."""

    def __init__(self, fails: bool = False) -> None:
        self.open, self.begun, self.calls, self._fails = threading.Event(), threading.Event(), 0, fails

    def fsync(self, _fd: int) -> None:
        self.begun.set()
        assert self.open.wait(10)
        self.calls += 1
        if self._fails:
            raise OSError(28, "No space left on device")


async def test_a_record_is_kept_when_it_is_fsynced_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with Appender(tmp_path / "a.jsonl") as appender:
        kept = appender.append(ONE)
        assert disk.begun.wait(10) and not kept.done()
        disk.open.set()
        await asyncio.wrap_future(kept)
    assert (tmp_path / "a.jsonl").read_text() == ONE.model_dump_json() + "\n"


def test_those_who_wait_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with Appender(tmp_path / "a.jsonl") as appender:
        kept = [appender.append(ONE)]
        assert disk.begun.wait(10)
        kept += [appender.append(ONE) for _ in range(50)]
        disk.open.set()
    assert all(one.done() for one in kept)
    assert disk.calls == 2
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 51


def test_a_disk_that_fails_is_heard_of_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(fails=True)
    disk.open.set()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with pytest.raises(OSError, match="No space left"), Appender(tmp_path / "a.jsonl") as appender:
        kept = appender.append(ONE)
        with pytest.raises(OSError, match="No space left"):
            kept.result(10)
        with pytest.raises(OSError, match="No space left"):
            appender.append(ONE)


async def test_a_cancelled_wait_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with Appender(tmp_path / "a.jsonl") as appender:
        left = asyncio.ensure_future(asyncio.wrap_future(appender.append(ONE)))
        stays = appender.append(ONE)
        await asyncio.sleep(0)
        left.cancel()
        disk.open.set()
        await asyncio.wrap_future(stays)
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2
