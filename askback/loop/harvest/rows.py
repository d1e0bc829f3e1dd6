"""A sample with what has been harvested for it: which records stand, which reply counts, where every row ended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from askback.contracts.records import FURTHER, OPTIONAL, Draft, HarvestRecord, HarvestStage, Sample, TeacherReply, Trace
from askback.contracts.spending import spent
from askback.tasks import Task, task_named

ROLES = {HarvestStage.DRAFT: "clarify", HarvestStage.TEACHER: "teacher", HarvestStage.HINT: "hint", HarvestStage.REWRITE: "rewrite"}
ROLES |= dict.fromkeys(FURTHER, "teacher")
"""The prompt that each step reads."""

Records = dict[HarvestStage, HarvestRecord]


@dataclass
class Row:
    """A sample with what has been harvested for it so far."""

    sample: Sample
    records: Records = field(default_factory=dict)
    fresh: set[HarvestStage] = field(default_factory=set)
    """Steps whose answer came and was of no use: the same request has to be answered anew, not from a cache."""

    @property
    def failed(self) -> bool:
        """Whether a step that the row needs ended in an error. Second tries and further replies do not count: without them the first reply stays."""
        return any(record.error for stage, record in self.records.items() if stage not in OPTIONAL)

    @property
    def finished(self) -> bool:
        return self.failed or HarvestStage.REWRITE in self.records

    @property
    def disagrees(self) -> bool:
        """Whether the teacher's first verdict differs from gold."""
        record = self.records.get(HarvestStage.TEACHER)
        return record is not None and record.reply is not None and not _right(self.sample, record.reply)

    @property
    def hinted(self) -> bool:
        """Whether the second try came to the gold answer, so that its reply stands in the place of the first."""
        record = self.records.get(HarvestStage.HINT)
        return record is not None and record.reply is not None and _right(self.sample, record.reply)

    @property
    def taught(self) -> HarvestRecord:
        """The record whose reply counts. Raises KeyError before the teacher's step is done."""
        return self.records[HarvestStage.HINT if self.hinted else HarvestStage.TEACHER]

    @property
    def draft(self) -> Draft:
        """The draft. Raises KeyError before the draft's step is done."""
        draft = self.records[HarvestStage.DRAFT].draft
        assert draft is not None
        return draft

    @property
    def reply(self) -> TeacherReply:
        """The reply that counts. Raises KeyError before the teacher's step is done."""
        reply = self.taught.reply
        assert reply is not None
        return reply

    @property
    def further(self) -> list[TeacherReply]:
        """The further replies that came and could be read, in order."""
        records = [self.records[stage] for stage in FURTHER if stage in self.records]
        return [record.reply for record in records if record.reply is not None]


def _right(sample: Sample, reply: TeacherReply) -> bool:
    return task_named(sample.task).is_correct(reply.answer, sample)


def versions_of(task: Task, hint: bool = False, replies: int = 1) -> dict[HarvestStage, str]:
    """The version of the prompt that each step reads now; of the second try and of further replies where there are any."""
    left_out = {*FURTHER[replies - 1 :], *([] if hint else [HarvestStage.HINT])}
    return {stage: task.prompt_version(ROLES[stage]) for stage in HarvestStage if stage not in left_out}


def rows_of(
    samples: Iterable[Sample],
    records: Iterable[HarvestRecord],
    retry_errors: bool = False,
    versions: Mapping[HarvestStage, str] | None = None,
) -> list[Row]:
    """Rows with their records, which come in the order of writing; a later one wins, and voids what was built on the one before.

    With `retry_errors` a failed step counts as not done, and with `versions` so does a step whose prompt was edited since,
    together with the steps after it.
    """
    rows = {sample.id: Row(sample) for sample in samples}
    for record in records:
        if record.sample_id in rows:
            row = rows[record.sample_id]
            row.records = {stage: row.records[stage] for stage in _before(record.stage) if stage in row.records} | {record.stage: record}
    for row in rows.values():
        _let_stand(row, retry_errors, versions)
    return list(rows.values())


def _before(stage: HarvestStage) -> tuple[HarvestStage, ...]:
    steps = tuple(HarvestStage)
    return steps[: steps.index(stage)]


def _let_stand(row: Row, retry_errors: bool, versions: Mapping[HarvestStage, str] | None) -> None:
    """Leave the row its records up to the first step that is to be done again. A row may go without a second try and without further replies."""
    standing: Records = {}
    for stage in HarvestStage:
        record = row.records.get(stage)
        if record is None and stage in OPTIONAL:
            continue
        edited = record is not None and versions is not None and record.prompt_version not in ("", versions.get(stage, record.prompt_version))
        if record is None or edited:
            break
        if retry_errors and record.error:
            if record.request_hash:
                row.fresh.add(stage)
            break
        standing[stage] = record
    row.records = standing


def traces_of(rows: Iterable[Row]) -> list[Trace]:
    """Rows that went through every step, in the order of the samples."""
    traces = []
    for row in rows:
        if row.finished and not row.failed:
            rewrite = row.records[HarvestStage.REWRITE].rewrite
            assert rewrite is not None
            trace = Trace(sample=row.sample, draft=row.draft, reply=row.reply, rewrite=rewrite, backend=row.taught.backend, hinted=row.hinted)
            traces.append(trace)
    return traces


def counts_of(rows: Sequence[Row]) -> dict[str, object]:
    """Where every row ended, for the manifest. `hints` counts the second tries, `hinted` those that are in use, `further` the further replies,
    and `drafts_right` says how good the student was before it was taught."""
    errors = Counter(f"{stage}: {record.error.split(':')[0]}" for row in rows for stage, record in row.records.items() if record.error)
    backends = Counter(row.taught.backend for row in rows if HarvestStage.TEACHER in row.records and not row.failed)
    cost = spent([record for row in rows for record in row.records.values()])["total"].cost_usd
    done = sum(row.finished and not row.failed for row in rows)
    counts: dict[str, object] = {"rows": len(rows), "done": done, "failed": len(rows) - done, "errors": errors, "backends": backends}
    hints = {"hints": sum(HarvestStage.HINT in row.records for row in rows), "hinted": sum(row.hinted for row in rows)}
    drafted = [row for row in rows if (record := row.records.get(HarvestStage.DRAFT)) is not None and record.draft is not None]
    right = sum(task_named(row.sample.task).is_correct(row.draft.answer, row.sample) for row in drafted)
    counts |= {"drafts": len(drafted), "drafts_right": right}
    if any(stage in row.records for row in rows for stage in FURTHER):
        hints["further"] = sum(len(row.further) for row in rows)
    return counts | hints | {"cost_usd": cost}
