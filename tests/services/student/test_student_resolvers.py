"""Resolver `both`: teacher and retriever side by side."""

import pytest
from neighbours import Neighbours

from askback.contracts.errors import BudgetExceeded, DeadlineExceeded, NotFound, ServiceError, UpstreamUnavailable
from askback.contracts.records import Draft
from askback.contracts.student import AskAnswers, AskRequest, Resolver
from services.student.resolvers import UNANSWERED

UNAVAILABLE, MISSING = (503, "UpstreamUnavailable"), (404, "NotFound")
DRAFT = Draft(answer="yes", questions=["What is the Amazon?", "Where does it flow?"])


async def both(neighbours: Neighbours) -> AskAnswers:
    return await neighbours.resolvers().resolve(AskRequest(question="Is it?", resolver=Resolver.BOTH), DRAFT)


def answers(resolved: AskAnswers) -> list[str]:
    assert [exchange.question for exchange in resolved.exchanges] == DRAFT.questions
    return [exchange.answer for exchange in resolved.exchanges]


async def test_each_answer_is_the_teachers_followed_by_the_passage() -> None:
    resolved = await both(Neighbours())
    assert answers(resolved) == ["It is a river. The Amazon flows through Brazil.", "It is in Peru."]
    assert (resolved.answered_by, resolved.usage.cost_usd, resolved.usage.completion_tokens) == ("teacher+retriever", 0.25, 7)


async def test_the_verdict_is_in_no_answer() -> None:
    assert "answer is" not in " ".join(answers(await both(Neighbours())))


@pytest.mark.parametrize("error", [UNAVAILABLE, MISSING, (504, "DeadlineExceeded")])
async def test_one_without_an_answer_leaves_it_to_the_other(error: tuple[int, str]) -> None:
    neighbours = Neighbours()
    neighbours.teacher_error = error
    resolved = await both(neighbours)
    assert (resolved.answered_by, answers(resolved)) == ("retriever", ["The Amazon flows through Brazil.", UNANSWERED])
    neighbours.teacher_error, neighbours.retriever_error = None, error
    resolved = await both(neighbours)
    assert (resolved.answered_by, answers(resolved)) == ("teacher", ["It is a river.", "It is in Peru."])


async def test_with_two_hops_each_answer_is_both_pages() -> None:
    neighbours = Neighbours()
    neighbours.found = ["The Amazon flows through Brazil.", "Brazil is large.", "A third page."]
    request = AskRequest(question="Is it?", resolver=Resolver.RETRIEVER, hops=2)
    resolved = await neighbours.resolvers().resolve(request, DRAFT)
    assert answers(resolved) == ["The Amazon flows through Brazil. Brazil is large."] * 2
    neighbours.found = []
    assert answers(await neighbours.resolvers().resolve(request, DRAFT)) == [UNANSWERED] * 2


async def test_who_knew_nothing_is_not_named() -> None:
    neighbours = Neighbours()
    neighbours.found = ["", ""]
    assert (await both(neighbours)).answered_by == "teacher"
    neighbours.text = "The answer is yes."
    resolved = await both(neighbours)
    assert (resolved.answered_by, answers(resolved)) == ("none", [UNANSWERED] * 2)


@pytest.mark.parametrize(
    ("teacher", "retriever", "raised"),
    [
        (UNAVAILABLE, MISSING, UpstreamUnavailable),
        (MISSING, UNAVAILABLE, UpstreamUnavailable),
        (MISSING, MISSING, NotFound),
        ((504, "DeadlineExceeded"), MISSING, DeadlineExceeded),
    ],
)
async def test_when_neither_has_an_answer_both_reasons_are_raised(
    teacher: tuple[int, str], retriever: tuple[int, str], raised: type[ServiceError]
) -> None:
    neighbours = Neighbours()
    neighbours.teacher_error, neighbours.retriever_error = teacher, retriever
    with pytest.raises(raised, match=f"{teacher[1]} here; {retriever[1]} here") as caught:
        await both(neighbours)
    assert type(caught.value) is raised


async def test_another_error_is_not_passed_over() -> None:
    neighbours = Neighbours()
    neighbours.teacher_error = (402, "BudgetExceeded")
    with pytest.raises(BudgetExceeded):
        await both(neighbours)
