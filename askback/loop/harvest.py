"""Stage `harvest`: student draft and questions, teacher's answers, student rewrite; one record per row and step.

A row moves to its next step when it is ready, whatever the others do. What is on disk is never asked again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from askback.contracts.errors import BudgetExceeded, ServiceError, UpstreamUnavailable
from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Sample, TeacherReply, Trace
from askback.contracts.student import AnswerMode, AnswerRequest, ClarifyRequest
from askback.contracts.teacher import ChatRequest
from askback.loop.concurrently import concurrently
from askback.loop.config import HarvestConfig
from askback.loop.patience import patiently
from askback.loop.progress import Bar
from askback.loop.services import Services
from askback.tasks import Task
from askback.tasks.dialogue import pair

Keep = Callable[[HarvestRecord], Future[None]]
"""Writes a record; what it returns is done when the record is on disk."""


@dataclass
class Row:
    """A sample with what has been harvested for it so far."""

    sample: Sample
    records: dict[HarvestStage, HarvestRecord] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(record.error for record in self.records.values())

    @property
    def finished(self) -> bool:
        return self.failed or HarvestStage.REWRITE in self.records


def versions_of(task: Task) -> dict[HarvestStage, str]:
    """The version of the prompt that each step reads now."""
    roles = {HarvestStage.DRAFT: "clarify", HarvestStage.TEACHER: "teacher", HarvestStage.REWRITE: "rewrite"}
    return {stage: task.prompt_version(role) for stage, role in roles.items()}


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
        row.records = _standing(row.records, retry_errors, versions)
    return list(rows.values())


def _before(stage: HarvestStage) -> tuple[HarvestStage, ...]:
    steps = tuple(HarvestStage)
    return steps[: steps.index(stage)]


def _standing(
    records: Mapping[HarvestStage, HarvestRecord], retry_errors: bool, versions: Mapping[HarvestStage, str] | None
) -> dict[HarvestStage, HarvestRecord]:
    """The records up to the first step that is to be done again."""
    standing: dict[HarvestStage, HarvestRecord] = {}
    for stage in HarvestStage:
        record = records.get(stage)
        edited = record is not None and versions is not None and record.prompt_version not in ("", versions[stage])
        if record is None or edited or (retry_errors and record.error):
            break
        standing[stage] = record
    return standing


def traces_of(rows: Iterable[Row]) -> list[Trace]:
    """Rows that went through every step, in the order of the samples."""
    traces = []
    for row in rows:
        got = row.records
        if row.finished and not row.failed:
            draft, reply, rewrite = got[HarvestStage.DRAFT].draft, got[HarvestStage.TEACHER].reply, got[HarvestStage.REWRITE].rewrite
            assert draft is not None and reply is not None and rewrite is not None
            traces.append(Trace(sample=row.sample, draft=draft, reply=reply, rewrite=rewrite, backend=got[HarvestStage.TEACHER].backend))
    return traces


def counts_of(rows: Sequence[Row]) -> dict[str, object]:
    """Where every row ended, for the manifest."""
    errors = Counter(f"{stage}: {record.error.split(':')[0]}" for row in rows for stage, record in row.records.items() if record.error)
    backends = Counter(row.records[HarvestStage.TEACHER].backend for row in rows if HarvestStage.TEACHER in row.records and not row.failed)
    cost = sum(record.usage.cost_usd for row in rows for record in row.records.values())
    done = sum(row.finished and not row.failed for row in rows)
    return {"rows": len(rows), "done": done, "failed": len(rows) - done, "errors": errors, "backends": backends, "cost_usd": cost}


async def harvest(config: HarvestConfig, task: Task, rows: Sequence[Row], services: Services, keep: Keep, bar: Bar, run_id: str) -> None:
    """Bring every row to its end; a row that fails keeps its error.

    Raises UpstreamUnavailable when a service stays away and BudgetExceeded when the teacher's budget ends; a later call goes on.
    """
    steps = _Steps(config, task, services, keep, run_id)

    async def carry(row: Row) -> None:
        await steps.carry(row)
        bar.advance()

    bar.advance(sum(row.finished for row in rows))
    await concurrently(config.concurrency, [row for row in rows if not row.finished], carry)


class _Steps:
    """The three steps of one row."""

    def __init__(self, config: HarvestConfig, task: Task, services: Services, keep: Keep, run_id: str) -> None:
        self._config, self._task, self._services, self._keep, self._run_id = config, task, services, keep, run_id

    async def carry(self, row: Row) -> None:
        steps = ((HarvestStage.DRAFT, self._draft), (HarvestStage.TEACHER, self._teach), (HarvestStage.REWRITE, self._rewrite))
        for stage, step in steps:
            if stage in row.records:
                continue
            record = await self._guarded(row.sample, stage, partial(step, row))
            row.records[stage] = record
            await asyncio.wrap_future(self._keep(record))
            if record.error:
                return

    async def _guarded(self, sample: Sample, stage: HarvestStage, step: Callable[[], Awaitable[HarvestRecord]]) -> HarvestRecord:
        """The step's record, or one with its error; a service that stays away or money that ends is not the row's fault and ends the stage."""
        try:
            return await patiently(step)
        except (UpstreamUnavailable, BudgetExceeded):
            raise
        except ServiceError as error:
            text, version = f"{type(error).__name__}: {error}", versions_of(self._task)[stage]
            return HarvestRecord(sample_id=sample.id, stage=stage, error=text, prompt_version=version)

    async def _draft(self, row: Row) -> HarvestRecord:
        sample = row.sample
        answer = await self._services.student.clarify(
            ClarifyRequest(
                task=sample.task,
                question=sample.question,
                question_id=sample.id,
                passages=sample.passages,
                max_questions=self._config.max_questions,
            )
        )
        version = self._task.prompt_version("clarify")
        return HarvestRecord(
            sample_id=sample.id, stage=HarvestStage.DRAFT, draft=answer.draft, model=answer.model, prompt_version=version, usage=answer.usage
        )

    async def _teach(self, row: Row) -> HarvestRecord:
        sample, draft = row.sample, _draft_of(row)
        messages = self._task.prompt("teacher", sample.question, passages=sample.passages, draft=draft)
        request = ChatRequest(model=self._config.teacher, messages=messages, metadata={"question_id": sample.id})
        answer = await self._services.teacher.chat(request, self._run_id)
        record = HarvestRecord(
            sample_id=sample.id,
            stage=HarvestStage.TEACHER,
            model=answer.model,
            backend=answer.backend,
            cache=answer.cache,
            request_hash=answer.request_hash,
            prompt_version=self._task.prompt_version("teacher"),
            usage=answer.usage,
        )
        try:
            return record.model_copy(update={"reply": self._task.parse_teacher(answer.text)})
        except ServiceError as error:  # the reply was paid for, so its cost stays on the record
            return record.model_copy(update={"error": f"{type(error).__name__}: {error}"})

    async def _rewrite(self, row: Row) -> HarvestRecord:
        sample, draft, reply = row.sample, _draft_of(row), _reply_of(row)
        answer = await self._services.student.answer(
            AnswerRequest(
                task=sample.task,
                question=sample.question,
                question_id=sample.id,
                passages=sample.passages,
                mode=AnswerMode.REWRITE,
                exchanges=pair(draft.questions, self._task.teacher_answers(reply.text)),
            )
        )
        version = self._task.prompt_version("rewrite")
        rewrite = answer.answer or answer.text
        return HarvestRecord(
            sample_id=sample.id, stage=HarvestStage.REWRITE, rewrite=rewrite, model=answer.model, prompt_version=version, usage=answer.usage
        )


def _draft_of(row: Row) -> Draft:
    draft = row.records[HarvestStage.DRAFT].draft
    assert draft is not None
    return draft


def _reply_of(row: Row) -> TeacherReply:
    reply = row.records[HarvestStage.TEACHER].reply
    assert reply is not None
    return reply
