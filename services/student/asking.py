"""The whole exchange: draft and questions, their answers, the answer after reading them."""

from askback.contracts.student import AnswerMode, AnswerRequest, AskRequest, AskResponse, ClarifyRequest
from services.student.answering import Answering, total
from services.student.resolvers import Resolvers


async def ask(request: AskRequest, answering: Answering, resolvers: Resolvers) -> AskResponse:
    """Run one question through the loop the student was trained for (modes `assisted`)."""
    shared = request.model_dump(exclude={"resolver", "max_questions", "one_turn", "run"})
    clarified = await answering.clarify(ClarifyRequest(**shared, max_questions=request.max_questions))
    resolved = await resolvers.resolve(request, clarified.draft)
    if request.one_turn:
        thought = " ".join(exchange.answer for exchange in resolved.exchanges)
        final = await answering.answer(AnswerRequest(**shared, mode=AnswerMode.CONTEXT, thought=thought))
    else:
        final = await answering.answer(AnswerRequest(**shared, mode=AnswerMode.REWRITE, exchanges=resolved.exchanges))
    return AskResponse(
        draft=clarified.draft,
        exchanges=resolved.exchanges,
        answered_by=resolved.answered_by,
        final=final,
        usage=total(clarified.usage, resolved.usage, final.usage),
    )
