"""Which of a harvest's records still stand when it is taken up again."""

import pytest

from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Sample
from askback.loop.harvest import rows_of

DRAFT, TEACHER, REWRITE = HarvestStage
SAMPLE = Sample(id="q1", task="strategyqa", question="Is water wet?", answer="yes")
NOW = {DRAFT: "clarify-1", TEACHER: "teacher-1", REWRITE: "rewrite-1"}


def record(stage: HarvestStage, version: str = "", error: str | None = None, answer: str = "yes") -> HarvestRecord:
    draft = Draft(answer=answer, questions=["What is water?"]) if stage is DRAFT and not error else None
    return HarvestRecord(sample_id="q1", stage=stage, draft=draft, prompt_version=version or NOW[stage], error=error)


def standing(*records: HarvestRecord, retry_errors: bool = False, versions: dict[HarvestStage, str] | None = None) -> list[HarvestStage]:
    return list(rows_of([SAMPLE], records, retry_errors, versions)[0].records)


WHOLE = [record(stage) for stage in HarvestStage]


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
