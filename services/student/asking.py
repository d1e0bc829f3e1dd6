"""The whole exchange, step by step: draft and questions, their answers, the answer after reading them."""

from collections.abc import AsyncIterator

from askback.contracts.student import (
    AnswerMode,
    AnswerRequest,
    AnswerResponse,
    AskAnswers,
    AskRequest,
    AskResponse,
    ClarifyRequest,
    ClarifyResponse,
    QuestionRequest,
)
from services.student.answering import Answering, total
from services.student.resolvers import Resolvers

Step = ClarifyResponse | AskAnswers | AnswerResponse | AskResponse


async def ask(request: AskRequest, answering: Answering, resolvers: Resolvers) -> AskResponse:
    """Run one question through the loop the student was trained for (modes `assisted`); raises what a step raises."""
    async for step in steps(request, answering, resolvers):
        if isinstance(step, AskResponse):
            return step
    raise AssertionError("the last step is the whole exchange")


async def steps(request: AskRequest, answering: Answering, resolvers: Resolvers) -> AsyncIterator[Step]:
    """Each step's outcome as soon as it is there, and last the whole exchange."""
    shared = request.model_dump(include=set(QuestionRequest.model_fields))
    clarified = await answering.clarify(ClarifyRequest(**shared, max_questions=request.max_questions))
    yield clarified
    resolved = await resolvers.resolve(request, clarified.draft)
    yield resolved
    if request.one_turn:
        thought = " ".join(exchange.answer for exchange in resolved.exchanges)
        final = await answering.answer(AnswerRequest(**shared, mode=AnswerMode.CONTEXT, thought=thought))
    else:
        final = await answering.answer(AnswerRequest(**shared, mode=AnswerMode.REWRITE, exchanges=resolved.exchanges))
    yield final
    yield AskResponse(
        draft=clarified.draft,
        exchanges=resolved.exchanges,
        answered_by=resolved.answered_by,
        final=final,
        usage=total(clarified.usage, resolved.usage, final.usage),
    )
