"""A run's status, read from its folder at every moment of its life."""

import json
from pathlib import Path

import pytest
from track_traces import trace

from askback.contracts.errors import InvalidInput, NotFound
from askback.contracts.records import Example, HarvestRecord, HarvestStage, Trace, Usage
from askback.loop.status import RunStatus, status_of
from askback.loop.store import RunStore

NO_VERDICT = "UpstreamRejected: the teacher's reply has no verdict: 'That depends.'"


def record(one: Trace, stage: HarvestStage, error: str | None = None) -> HarvestRecord:
    output = {"draft": {"draft": one.draft}, "teacher": {"reply": one.reply}, "rewrite": {"rewrite": one.rewrite}}[stage]
    usage = Usage(prompt_tokens=10, completion_tokens=2, cost_usd=0.25 if stage is HarvestStage.TEACHER else 0.0)
    return HarvestRecord(sample_id=one.sample.id, stage=stage, usage=usage, error=error, **({} if error else output))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Six rows: two through, one failed, one behind its teacher, one behind its draft, one not begun; and a torn last line."""
    store, traces = RunStore(tmp_path, "r1"), [trace(i) for i in range(6)]
    store.write_records("samples/train.jsonl", [one.sample for one in traces])
    store.complete("sample", 0.0, [], {})
    draft, teacher, rewrite = HarvestStage.DRAFT, HarvestStage.TEACHER, HarvestStage.REWRITE
    done = [(0, draft), (0, teacher), (0, rewrite), (1, draft), (1, teacher), (1, rewrite), (2, draft), (3, draft), (3, teacher), (4, draft)]
    records = [record(traces[number], stage) for number, stage in done]
    store.write_records("harvest.jsonl", [*records, record(traces[2], teacher, NO_VERDICT)])
    with store.path("harvest.jsonl").open("a") as file:
        file.write('{"sample_id": "q4", "sta')
    return store


def test_the_middle_of_a_harvest(store: RunStore) -> None:
    status = status_of(store)
    accounts = status.accounts
    assert (accounts.sampled, accounts.kept, accounts.dropped, accounts.failed, accounts.pending) == (6, 0, {}, 1, 5)
    assert accounts.pending_after == {"sample": 1, "draft": 1, "teacher": 1, "rewrite": 2}
    assert [stage.name for stage in status.stages if stage.complete] == ["sample"] == [status.stages[0].name]
    assert {step: (one.records, one.cost_usd) for step, one in status.spent.items()} == {
        "draft": (5, 0.0),
        "teacher": (4, 1.0),
        "rewrite": (2, 0.0),
        "total": (11, 1.0),
    }
    assert (status.spent["total"].prompt_tokens, status.spent["total"].completion_tokens) == (110, 22)
    (kind,) = status.errors
    assert (kind, status.errors[kind].count, status.errors[kind].example) == ("teacher: UpstreamRejected", 1, NO_VERDICT)


def test_nothing_is_written_or_mended(store: RunStore) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.folder.rglob("*")}
    status_of(store)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.folder.rglob("*")} == before
    assert len(store.read_records("harvest.jsonl", HarvestRecord)) == 11


def test_after_the_tracks_their_account_counts(store: RunStore) -> None:
    questions = {"sampled": 6, "kept": 1, "dropped": {"duplicate": 1}, "failed": 1, "pending": 3}
    store.complete("tracks", 0.0, [], {"direct": 1, "questions": questions})
    accounts = status_of(store).accounts
    assert accounts.model_dump(exclude={"pending_after"}) == questions
    assert accounts.pending_after == {"sample": 1, "draft": 1, "teacher": 1}


def test_tracks_without_an_account_say_what_was_kept(store: RunStore) -> None:
    one = trace(0)
    store.write_records("tracks/direct.jsonl", [Example(prompt=[], completion=[], sample_id=one.sample.id, label="yes")])
    store.complete("tracks", 0.0, [], {"direct": 1})
    accounts = status_of(store).accounts
    assert (accounts.kept, accounts.dropped, accounts.failed, accounts.pending) == (1, {"reason not recorded": 1}, 1, 3)


def test_it_can_be_read_by_people_and_programs(store: RunStore) -> None:
    status = status_of(store)
    text = status.as_text()
    assert "  sample    complete" in text and "  pending  5 (by the last step done: sample 1, draft 1, teacher 1, rewrite 2)" in text
    assert "$1.0000" in text and NO_VERDICT in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert RunStatus.model_validate(json.loads(status.model_dump_json())) == status


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "r1").mkdir()
    status = status_of(RunStore(tmp_path, "r1"))
    assert status.accounts.sampled == status.accounts.pending == 0
    assert "errors" not in status.as_text()


def test_no_run_and_an_unreadable_line_are_named(tmp_path: Path, store: RunStore) -> None:
    with pytest.raises(NotFound, match="run nowhere: no folder"):
        status_of(RunStore(tmp_path, "nowhere"))
    store.path("harvest.jsonl").write_text("{}\n")
    with pytest.raises(InvalidInput, match=r"harvest\.jsonl:1: not a HarvestRecord"):
        status_of(store)
