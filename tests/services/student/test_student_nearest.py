"""Resolvers that answer what was really asked, and the teacher's questions in the place of the student's."""

import pytest
from neighbours import Neighbours

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Draft
from askback.contracts.student import AskAnswers, Asker, AskRequest, Resolver
from services.student.counted_resolvers import CountedResolvers
from services.student.resolvers import UNANSWERED

TEXT = (
    "Q1. When was the first photograph taken?\nPhotography began in 1826.\nQ2. When did Mozart die?\nMozart died in 1791.\n"
    "Q3. Did Mozart live to see a photograph?\nNo, since he died before.\nFinal answer: Did Mozart live to see a photograph?\nThe answer is no."
)
QUESTION = "Did Mozart live to see a photograph?"
DRAFT = Draft(answer="yes", questions=["In which year did Mozart die?", "How deep is the sea?"])


async def resolved(neighbours: Neighbours, resolver: Resolver, asker: Asker = Asker.STUDENT, draft: Draft = DRAFT) -> AskAnswers:
    return await neighbours.resolvers().resolve(AskRequest(question=QUESTION, resolver=resolver, asker=asker, max_questions=2), draft)


def pairs(found: AskAnswers) -> list[tuple[str, str]]:
    return [(exchange.question, exchange.answer) for exchange in found.exchanges]


@pytest.fixture
def neighbours() -> Neighbours:
    found = Neighbours()
    found.text = TEXT
    return found


@pytest.mark.parametrize(("resolver", "backend"), [(Resolver.TEACHER_NEAREST, "teacher"), (Resolver.GOLD_NEAREST, "gold")])
async def test_a_question_gets_only_the_answer_that_was_asked_for(neighbours: Neighbours, resolver: Resolver, backend: str) -> None:
    found = await resolved(neighbours, resolver)
    assert pairs(found) == [(DRAFT.questions[0], "Mozart died in 1791."), (DRAFT.questions[1], UNANSWERED)]
    assert (found.answered_by, found.usage.cost_usd) == (backend, 0.25)


async def test_whoever_asks_the_rows_question_is_not_told_its_verdict(neighbours: Neighbours) -> None:
    asked = Draft(answer="yes", questions=["So did Mozart live to see a photograph?", "Did he live to see it?"])
    found = await resolved(neighbours, Resolver.TEACHER_NEAREST, draft=asked)
    assert not any("No, since" in answer or "answer is" in answer for _, answer in pairs(found))


@pytest.mark.parametrize("text", ["The answer is no.", "Mozart died in 1791. So the answer is no.", "Q1. Mozart?\nThe answer is no."])
async def test_a_reply_without_sub_questions_answers_nothing(neighbours: Neighbours, text: str) -> None:
    neighbours.text = text
    found = await resolved(neighbours, Resolver.TEACHER_NEAREST)
    assert ([answer for _, answer in pairs(found)], found.answered_by) == ([UNANSWERED] * 2, "none")


async def test_a_teacher_that_repeats_the_questions_is_read_as_before(neighbours: Neighbours) -> None:
    neighbours.text = "\n".join(f"Q{i}. {question}\nAnswer {i}." for i, question in enumerate(DRAFT.questions, 1)) + "\nThe answer is no."
    assert pairs(await resolved(neighbours, Resolver.TEACHER_NEAREST)) == pairs(await resolved(neighbours, Resolver.TEACHER))


async def test_the_teachers_questions_in_the_place_of_the_students(neighbours: Neighbours) -> None:
    own = ["When was the first photograph taken?", "When did Mozart die?"]
    for resolver, answers in {
        Resolver.TEACHER_NEAREST: ["Photography began in 1826.", "Mozart died in 1791."],
        Resolver.GOLD_NEAREST: ["Photography began in 1826.", "Mozart died in 1791."],
        Resolver.TEACHER: ["Photography began in 1826.", "Mozart died in 1791. No, since he died before."],
        Resolver.RETRIEVER: ["The Amazon flows through Brazil.", UNANSWERED],
        Resolver.NONE: [UNANSWERED] * 2,
    }.items():
        assert pairs(await resolved(neighbours, resolver, Asker.TEACHER)) == list(zip(own, answers, strict=True)), resolver


async def test_a_reply_is_paid_once(neighbours: Neighbours) -> None:
    costs = {resolver: (await resolved(neighbours, resolver, Asker.TEACHER)).usage.cost_usd for resolver in Resolver}
    assert costs == dict.fromkeys(Resolver, 0.25) | {Resolver.GOLD: 0.5, Resolver.GOLD_NEAREST: 0.5}


async def test_a_teacher_without_questions_cannot_ask(neighbours: Neighbours) -> None:
    neighbours.text = "Mozart died in 1791. So the answer is no."
    with pytest.raises(UpstreamRejected, match="no sub-question"):
        await resolved(neighbours, Resolver.GOLD, Asker.TEACHER)


async def test_only_the_students_questions_are_counted(neighbours: Neighbours) -> None:
    counts: list[int] = []
    plain = neighbours.resolvers()
    counting = CountedResolvers(plain._teacher, plain._retriever, counts.append)
    for asker in Asker:
        await counting.resolve(AskRequest(question=QUESTION, resolver=Resolver.GOLD_NEAREST, asker=asker), DRAFT)
    assert counts == [2]
