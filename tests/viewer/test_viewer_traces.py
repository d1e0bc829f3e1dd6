"""What the viewer reads from a run's folder."""

from collections import Counter
from pathlib import Path

import pytest
from viewer_runs import Dropped, drafted, every_fate, failed, hinted, rewritten, sample, taught, torn, write_run, write_tracks

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestStage
from askback.loop.store import RunStore
from askback.viewer.documents import difference, whole
from askback.viewer.query import FILTERS, Query, find
from askback.viewer.traces import RunTraces, TraceRow


def rows_of(store: RunStore) -> dict[str, TraceRow]:
    return {row.sample.id: row for row in RunTraces(store).read()[0]}


def found(store: RunStore, **fields: str | list[str]) -> list[str]:
    query = Query.parse({name: [value] if isinstance(value, str) else value for name, value in fields.items()})
    return [row.sample.id for row in find(list(rows_of(store).values()), query).rows]


def test_every_row_has_one_fate_and_they_add_up(tmp_path: Path) -> None:
    rows = rows_of(every_fate(tmp_path))
    assert {sample_id: row.fate.name for sample_id, row in rows.items()} == {
        "heron": "kept",
        "attack": "kept",
        "wrong": "dropped: teacher_disagrees",
        "many": "dropped: class_balance",
        "broken": "failed: teacher",
        "mute": "failed: draft",
        "later": "pending: teacher",
    }
    assert whole(rows["heron"])["why"] == "In 2 tracks: dialogue, direct."
    assert whole(rows["later"])["why"] == "The stage teacher is not done yet."


def test_reasons_are_derived_where_the_run_records_none(tmp_path: Path) -> None:
    samples = [sample(name, f"Is it {name}?", gold) for name, gold in (("kept", "yes"), ("wrong", "no"), ("other", "yes"))]
    records = [make(one.id) for one in samples for make in (drafted, taught, rewritten)]
    store = write_run(tmp_path, "old", samples, records)
    assert {row.fate.name for row in rows_of(store).values()} == {"pending: tracks"}
    write_tracks(store, ["kept"], None, ["teacher agrees with gold", "classes balanced", "pairs: the draft is wrong"])
    assert [row.fate.name for row in rows_of(store).values()] == ["kept", "dropped: teacher_disagrees", "dropped: classes balanced"]


def test_a_later_try_counts_and_the_earlier_one_stays_visible(tmp_path: Path) -> None:
    row = rows_of(every_fate(tmp_path))["many"]
    assert [record.error for record in row.earlier] == ["UpstreamRejected: the student said nothing"]
    assert row.latest[HarvestStage.DRAFT].error is None


def test_a_second_try_counts_where_it_came_to_gold(tmp_path: Path) -> None:
    samples = [sample(name, f"Is it {name}?", "no") for name in ("used", "vain", "failed", "none", "voided")]
    records = [record for one in samples for record in (drafted(one.id), taught(one.id))]
    records += [hinted("used", "no"), hinted("vain", "yes"), failed("failed", HarvestStage.HINT, "NotFound: no recording"), hinted("voided", "no")]
    records += [rewritten(one.id) for one in samples]
    records += [taught("voided", "no"), rewritten("voided")]
    store = write_run(tmp_path, "hints", samples, records)
    rows = rows_of(store)
    assert {name: row.hint for name, row in rows.items()} == {"used": "used", "vain": "not used", "failed": "not used", "none": "", "voided": ""}
    assert {name: row.teacher_right for name, row in rows.items()} == {name: name in ("used", "voided") for name in rows}
    assert {row.fate.name for row in rows.values()} == {"pending: tracks"}
    assert found(store, hint="used") == ["used"]
    assert found(store, backend="openai") == ["used"]
    used, vain = whole(rows["used"]), whole(rows["vain"])
    assert (used["thought"], used["other_reply"]) == ("On second thought.", "Q1. What is a heron?\nA wading bird.\nThe answer is yes.")
    assert (vain["thought"], vain["other_reply"]) == ("A wading bird.", "On second thought.\nThe answer is yes.")
    assert whole(rows["failed"])["hint_error"] == "NotFound: no recording"
    assert [stage["stage"] for stage in used["stages"]] == ["draft", "teacher", "hint", "rewrite"]
    assert len(rows["voided"].earlier) == 3


def test_a_torn_line_is_passed_over_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    content = torn(store)
    assert len(rows_of(store)) == 7
    assert store.path("harvest.jsonl").read_bytes() == content


def test_what_a_run_writes_later_is_seen(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    traces = RunTraces(store)
    before, version = traces.read()
    assert traces.read() == (before, version)
    with store.appender("harvest.jsonl") as kept:
        kept.append(failed("later", HarvestStage.TEACHER, "UpstreamRejected: no verdict"))
    after, newer = traces.read()
    assert newer != version
    assert after[-1].fate.name == "failed: teacher"


def test_filters_are_alternatives_within_and_conditions_between(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    assert found(store, status="dropped") == ["wrong", "many"]
    assert found(store, status=["dropped: class_balance", "failed"]) == ["many", "broken", "mute"]
    assert found(store, teacher="wrong") == ["wrong"]
    assert found(store, draft="right", status="dropped") == ["wrong", "many"]
    assert found(store, gold="no", rewrite="none") == ["mute"]
    assert found(store, backend="openai") == ["heron"]


def test_search_wants_every_word_and_phrases_whole(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    assert found(store, q="HERON wades") == ["heron"]
    assert found(store, q='"no verdict"') == ["broken"]
    assert found(store, q='"verdict no"') == []


def test_sorting_goes_both_ways_and_names_what_it_can(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    assert found(store, sort="cost", desc="1")[0] == "heron"
    assert found(store, sort="p_yes")[-1] == "mute"
    with pytest.raises(InvalidInput, match=r"sort: 'shoe' is none of index, question"):
        Query.parse({"sort": ["shoe"]})


def test_counts_say_what_each_choice_would_give(tmp_path: Path) -> None:
    rows = list(rows_of(every_fate(tmp_path)).values())
    for chosen in ({}, {"status": ["kept"]}, {"status": ["dropped"], "teacher": ["right"]}, {"gold": ["no"]}):
        counts = find(rows, Query(chosen)).counts
        for name in FILTERS:
            for value, count in counts[name]:
                assert len(find(rows, Query(chosen | {name: [value]})).rows) == count, (chosen, name, value)


def test_many_answers_are_listed_in_part_and_a_choice_stays_listed(tmp_path: Path) -> None:
    samples = [sample(f"s{i}", f"Which one is {i}?", f"answer {i:02}") for i in range(30)]
    rows = list(rows_of(write_run(tmp_path, "free", samples, [])).values())
    result = find(rows, Query({"gold": ["answer 29"]}))
    assert result.counts["gold"][-1] == ("answer 29", 1)
    assert len(result.counts["gold"]) + result.more["gold"] == 30


def test_the_difference_goes_word_by_word() -> None:
    assert difference("no, it is", "yes, it is") == [("gone", "no"), ("new", "yes"), ("same", ", it is")]
    assert difference("same", "same") == [("same", "same")]
    assert difference(None, "yes") == []


def test_a_recorded_reason_yields_to_a_track_and_to_an_error(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    write_tracks(store, ["heron"], [Dropped(sample_id=name, reason="duplicate") for name in ("heron", "mute", "wrong", "nobody")])
    assert Counter(row.fate.kind for row in rows_of(store).values())["dropped"] == 3
    assert rows_of(store)["heron"].fate.kind == "kept"
    assert rows_of(store)["mute"].fate.name == "failed: draft"


@pytest.mark.parametrize("run_id", ["../fates", "..", ".", "", "a/b"])
def test_a_run_id_stays_inside_the_folder_of_runs(tmp_path: Path, run_id: str) -> None:
    every_fate(tmp_path)
    with pytest.raises(InvalidInput, match="is not a run's id"):
        RunTraces(RunStore(tmp_path, run_id))


def test_a_run_that_cannot_be_shown_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="run gone: no folder"):
        RunTraces(RunStore(tmp_path, "gone"))
    store = RunStore(tmp_path, "young")
    store.write_records("samples/train.jsonl", [sample("a", "Is it?")])
    with pytest.raises(InvalidInput, match=r"run young: no harvest yet \(harvest.jsonl is missing\)"):
        RunTraces(store)


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    path = store.path("harvest.jsonl")
    path.write_bytes(b'{"sample_id": 1}\n' + path.read_bytes())
    with pytest.raises(InvalidInput, match=r"harvest.jsonl:1: not a HarvestRecord"):
        RunTraces(store).read()
    store.path("tracks", "dropped.jsonl").write_text("[]\n")
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(InvalidInput, match=r"dropped.jsonl:1: not a JSON object"):
        RunTraces(store).read()
