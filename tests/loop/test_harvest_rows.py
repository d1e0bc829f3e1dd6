"""Which of a harvest's records still stand when it is taken up again."""

import pytest

from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Sample, TeacherReply
from askback.loop.harvest import Row, rows_of, versions_of
from askback.tasks import task_named

DRAFT, TEACHER, HINT, REWRITE = (HarvestStage(name) for name in ("draft", "teacher", "hint", "rewrite"))
SAMPLE = Sample(id="q1", task="strategyqa", question="Is water wet?", answer="yes")
NOW = {DRAFT: "clarify-1", TEACHER: "teacher-1", HINT: "hint-1", REWRITE: "rewrite-1"}


def record(stage: HarvestStage, version: str = "", error: str | None = None, answer: str = "yes") -> HarvestRecord:
    draft = Draft(answer=answer, questions=["What is water?"]) if stage is DRAFT and not error else None
    return HarvestRecord(sample_id="q1", stage=stage, draft=draft, prompt_version=version or NOW[stage], error=error)


def standing(*records: HarvestRecord, retry_errors: bool = False, versions: dict[HarvestStage, str] | None = None) -> list[HarvestStage]:
    return list(rows_of([SAMPLE], records, retry_errors, versions)[0].records)


WHOLE = [record(stage) for stage in (DRAFT, TEACHER, REWRITE)]
HINTED = [record(stage) for stage in (DRAFT, TEACHER, HINT, REWRITE)]


def test_a_whole_row_stands() -> None:
    assert standing(*WHOLE, versions=NOW) == [DRAFT, TEACHER, REWRITE]


@pytest.mark.parametrize(("edited", "left"), [("clarify", []), ("teacher", [DRAFT]), ("rewrite", [DRAFT, TEACHER])])
def test_an_edited_prompt_voids_the_step_that_reads_it_and_those_after_it(edited: str, left: list[HarvestStage]) -> None:
    versions = {stage: version.replace(f"{edited}-1", f"{edited}-2") for stage, version in NOW.items()}
    assert standing(*WHOLE, versions=versions) == left
    assert standing(*WHOLE) == [DRAFT, TEACHER, REWRITE]  # who only reads what was harvested takes it as it is


def test_a_new_draft_voids_the_answer_to_the_old_one() -> None:
    assert standing(*WHOLE, record(DRAFT, answer="no"), versions=NOW) == [DRAFT]
    assert standing(*WHOLE, *WHOLE, versions=NOW) == [DRAFT, TEACHER, REWRITE]


def test_going_back_to_an_earlier_prompt_does_not_mix_two_dialogues() -> None:
    other = [record(DRAFT, "clarify-2", answer="no"), record(TEACHER)]
    assert standing(*WHOLE, *other, versions=NOW) == []


def test_failed_steps_stand_unless_they_are_tried_again_or_their_prompt_was_edited() -> None:
    failed = [record(DRAFT), record(TEACHER, error="UpstreamRejected: no verdict")]
    assert standing(*failed, versions=NOW) == [DRAFT, TEACHER]
    assert standing(*failed, retry_errors=True, versions=NOW) == [DRAFT]
    assert standing(*failed, versions=NOW | {TEACHER: "teacher-2"}) == [DRAFT]


def test_a_row_with_a_second_try_stands_and_one_without_too() -> None:
    assert standing(*HINTED, versions=NOW) == [DRAFT, TEACHER, HINT, REWRITE]
    assert standing(*HINTED, versions=NOW | {HINT: "hint-2"}) == [DRAFT, TEACHER]
    assert standing(*WHOLE, versions=NOW | {HINT: "hint-2"}) == [DRAFT, TEACHER, REWRITE]
    assert standing(*HINTED, versions={stage: version for stage, version in NOW.items() if stage is not HINT}) == [DRAFT, TEACHER, HINT, REWRITE]


def test_a_new_first_reply_voids_the_second_and_a_new_second_the_rewrite() -> None:
    assert standing(*HINTED, record(TEACHER), versions=NOW) == [DRAFT, TEACHER]
    assert standing(*HINTED, record(HINT), versions=NOW) == [DRAFT, TEACHER, HINT]


def test_a_second_try_that_failed_fails_no_row_and_can_be_tried_again() -> None:
    failed = [record(DRAFT), record(TEACHER), record(HINT, error="UpstreamRejected: no verdict"), record(REWRITE)]
    row = rows_of([SAMPLE], failed)[0]
    assert (row.failed, row.finished) == (False, True)
    assert standing(*failed, retry_errors=True, versions=NOW) == [DRAFT, TEACHER]


@pytest.mark.parametrize("stage", [TEACHER, HINT])
def test_only_a_reply_that_came_and_was_of_no_use_is_asked_for_anew(stage: HarvestStage) -> None:
    before = [record(DRAFT), *([record(TEACHER)] if stage is HINT else [])]
    came = record(stage, error="UpstreamRejected: no verdict").model_copy(update={"request_hash": "h"})
    assert rows_of([SAMPLE], [*before, came], retry_errors=True)[0].fresh == {stage}
    assert rows_of([SAMPLE], [*before, came])[0].fresh == set()
    assert rows_of([SAMPLE], [*before, record(stage, error="NotFound: no recording")], retry_errors=True)[0].fresh == set()
    edited = rows_of([SAMPLE], [*before, came], retry_errors=True, versions=NOW | {stage: "other"})[0]
    assert (list(edited.records), edited.fresh) == ([one.stage for one in before], set())


@pytest.mark.parametrize(("first", "second", "hinted"), [("no", "yes", True), ("no", "no", False), ("yes", None, False)])
def test_the_second_reply_counts_when_it_comes_to_gold(first: str, second: str | None, hinted: bool) -> None:
    replies = {TEACHER: first} | ({HINT: second} if second else {})
    made = {stage: TeacherReply(exchanges=[], thought=f"{stage}", answer=answer, text="") for stage, answer in replies.items()}
    row = Row(SAMPLE, {stage: record(stage).model_copy(update={"reply": reply}) for stage, reply in made.items()})
    assert (row.disagrees, row.hinted, row.reply.thought) == (first == "no", hinted, "hint" if hinted else "teacher")


def test_the_version_of_the_hint_counts_only_where_it_is_read() -> None:
    task = task_named("strategyqa")
    assert list(versions_of(task)) == [DRAFT, TEACHER, REWRITE]
    assert list(versions_of(task, hint=True)) == [DRAFT, TEACHER, HINT, REWRITE]
