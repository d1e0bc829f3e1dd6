import json
import time
from hashlib import sha256
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from askback.loop.store import RunStore


def test_a_torn_last_line_is_cut_and_the_rest_kept(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    with store.appender("h.jsonl") as appender:
        appender.append(Message(role="user", content="one\u2028line"))
    with store.path("h.jsonl").open("a") as file:
        file.write('{"role": "us')
    assert store.read_records("h.jsonl", Message) == [Message(role="user", content="one\u2028line")]
    with store.appender("h.jsonl") as appender:
        appender.append(Message(role="user", content="two"))
    assert [message.content for message in store.read_records("h.jsonl", Message)] == ["one\u2028line", "two"]


def test_a_bad_line_in_the_middle_is_named(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    store.write_text("h.jsonl", '{"role": "user", "content": "a"}\n{"role": 1}\n')
    with pytest.raises(InvalidInput, match=r"h\.jsonl:2: not a Message"):
        store.read_records("h.jsonl", Message)


def test_the_manifest_says_that_a_stage_is_complete(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    assert store.manifest("tracks") is None
    store.write_text("tracks/a.jsonl", "{}\n")
    store.complete("tracks", time.time(), ["tracks/a.jsonl"], {"a": 1})
    manifest = store.manifest("tracks")
    assert manifest is not None
    assert manifest["sha256"] == {"tracks/a.jsonl": sha256(b"{}\n").hexdigest()}
    assert json.loads(store.path("manifests", "tracks.json").read_text())["counts"] == {"a": 1}


def test_reopening_the_report_keeps_the_predictions(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    store.write_text("predictions/base.direct.jsonl", "{}\n")
    store.complete("report", time.time(), [], {})
    store.reopen(["report"])
    assert store.manifest("report") is None
    assert store.path("predictions", "base.direct.jsonl").exists()


def test_reopening_forgets_manifests_and_predictions(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    store.write_text("predictions/base.direct.jsonl", "{}\n")
    for stage in ("sample", "evaluate"):
        store.complete(stage, time.time(), [], {})
    store.reopen(["evaluate"])
    assert store.manifest("sample") and not store.manifest("evaluate")
    assert not store.path("predictions", "base.direct.jsonl").exists()


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    with RunStore(tmp_path, "r").locked(), pytest.raises(InvalidInput, match="run r is being worked on"), RunStore(tmp_path, "r").locked():
        raise AssertionError("not reached")
    with RunStore(tmp_path, "r").locked():
        pass


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "r")
    store.write_text("a.json", "one")
    with pytest.raises(UnicodeEncodeError):
        store.write_text("a.json", "two \ud800")
    assert store.path("a.json").read_text() == "one"
