"""The steps of one row: draft, teacher's reply, a second try with a hint where it is wanted, rewrite."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial

from askback.contracts.errors import BudgetExceeded, ServiceError, UpstreamUnavailable
from askback.contracts.records import FURTHER, HarvestRecord, HarvestStage, Message, Sample
from askback.contracts.student import AnswerMode, AnswerRequest, ClarifyRequest
from askback.contracts.teacher import ChatRequest
from askback.loop.config import HarvestConfig
from askback.loop.harvest.rows import ROLES, Row
from askback.loop.patience import patiently
from askback.loop.services import Services
from askback.tasks import Task, prompts
from askback.tasks.dialogue import pair

Keep = Callable[[HarvestRecord], Future[None]]
"""Writes a record; what it returns is done when the record is on disk."""


class Steps:
    """The steps of a row; what a step makes is kept before the next one starts."""

    def __init__(self, config: HarvestConfig, task: Task, services: Services, keep: Keep, run_id: str, adapter: str) -> None:
        self._config, self._task, self._services, self._keep, self._run_id = config, task, services, keep, run_id
        self._adapter = adapter

    async def carry(self, row: Row) -> None:
        """Do the steps that the row has no record of, up to the first that fails.

        Raises UpstreamUnavailable when a service stays away and BudgetExceeded when the teacher's budget ends.
        """
        steps = {HarvestStage.DRAFT: self._draft, HarvestStage.TEACHER: self._teach, HarvestStage.HINT: self._hint}
        steps |= {stage: partial(self._more, number) for number, stage in enumerate(FURTHER, 1)} | {HarvestStage.REWRITE: self._rewrite}
        for stage, step in steps.items():
            if stage in row.records or not self._wanted(row, stage):
                continue
            record = await self._guarded(row.sample, stage, partial(step, row))
            row.records[stage] = record
            await asyncio.wrap_future(self._keep(record))
            if row.failed:
                return

    def _wanted(self, row: Row, stage: HarvestStage) -> bool:
        if stage is HarvestStage.HINT:
            return self._config.hint and row.disagrees
        return stage not in FURTHER[self._config.replies - 1 :]

    async def _guarded(self, sample: Sample, stage: HarvestStage, step: Callable[[], Awaitable[HarvestRecord]]) -> HarvestRecord:
        """The step's record, or one with its error; a service that stays away or money that ends is not the row's fault and ends the stage."""
        try:
            return await patiently(step)
        except (UpstreamUnavailable, BudgetExceeded):
            raise
        except ServiceError as error:
            text = f"{type(error).__name__}: {error}"
            return HarvestRecord(sample_id=sample.id, stage=stage, error=text, prompt_version=self._version(stage))

    async def _draft(self, row: Row) -> HarvestRecord:
        sample, stage = row.sample, HarvestStage.DRAFT
        answer = await self._services.student.clarify(
            ClarifyRequest(
                task=sample.task,
                question=sample.question,
                question_id=sample.id,
                passages=sample.passages,
                adapter=self._adapter,
                max_questions=self._config.max_questions,
            )
        )
        return HarvestRecord(
            sample_id=sample.id, stage=stage, draft=answer.draft, model=answer.model, prompt_version=self._version(stage), usage=answer.usage
        )

    async def _teach(self, row: Row) -> HarvestRecord:
        return await self._ask_teacher(row, HarvestStage.TEACHER, teacher_messages(self._task, row), {"question_id": row.sample.id})

    async def _hint(self, row: Row) -> HarvestRecord:
        metadata = {"question_id": row.sample.id, "sample_index": hint_index(self._config)}
        return await self._ask_teacher(row, HarvestStage.HINT, hint_messages(self._task, row), metadata)

    async def _more(self, number: int, row: Row) -> HarvestRecord:
        """The question as it was asked first. The index keeps it from being answered with the first reply, recorded or cached."""
        metadata = {"question_id": row.sample.id, "sample_index": str(number)}
        return await self._ask_teacher(row, FURTHER[number - 1], teacher_messages(self._task, row), metadata)

    async def _ask_teacher(self, row: Row, stage: HarvestStage, messages: Sequence[Message], metadata: dict[str, str]) -> HarvestRecord:
        request = ChatRequest(model=self._config.teacher, messages=list(messages), metadata=metadata)
        answer = await self._services.teacher.chat(request, self._run_id, fresh=stage in row.fresh)
        row.fresh.discard(stage)
        record = HarvestRecord(
            sample_id=row.sample.id,
            stage=stage,
            model=answer.model,
            backend=answer.backend,
            cache=answer.cache,
            request_hash=answer.request_hash,
            prompt_version=self._version(stage),
            usage=answer.usage.model_copy(update={"cost_usd": answer.answer_usd}),
        )
        try:
            return record.model_copy(update={"reply": self._task.parse_teacher(answer.text)})
        except ServiceError as error:  # the reply was paid for, so its cost stays on the record
            return record.model_copy(update={"error": f"{type(error).__name__}: {error}"})

    async def _rewrite(self, row: Row) -> HarvestRecord:
        sample, stage = row.sample, HarvestStage.REWRITE
        answer = await self._services.student.answer(
            AnswerRequest(
                task=sample.task,
                question=sample.question,
                question_id=sample.id,
                passages=sample.passages,
                adapter=self._adapter,
                mode=AnswerMode.REWRITE,
                exchanges=pair(row.draft.questions, self._task.teacher_answers(row.reply.text)),
            )
        )
        rewrite = answer.answer or answer.text
        return HarvestRecord(
            sample_id=sample.id, stage=stage, rewrite=rewrite, model=answer.model, prompt_version=self._version(stage), usage=answer.usage
        )

    def _version(self, stage: HarvestStage) -> str:
        return self._task.prompt_version(ROLES[stage])


def hint_index(config: HarvestConfig) -> str:
    """`sample_index` of the second try, behind those of all replies, so that a teacher of recorded answers takes a recording of its own."""
    return str(config.replies)


def teacher_messages(task: Task, row: Row) -> list[Message]:
    """What the teacher reads of a row that has its draft."""
    return task.prompt("teacher", row.sample.question, passages=row.sample.passages, draft=row.draft)


def hint_messages(task: Task, row: Row) -> list[Message]:
    """The teacher's own prompt with the gold answer behind it, so that the second reply has the form of the first."""
    *before, last = teacher_messages(task, row)
    hint = prompts.render(task.name, ROLES[HarvestStage.HINT], {"answer": row.sample.answer})
    return [*before, Message(role=last.role, content=f"{last.content}\n{hint}")]
