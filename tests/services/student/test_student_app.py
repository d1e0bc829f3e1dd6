"""The student over its HTTP face, with a scripted engine and recorded teachers and retrievers behind real clients."""

import json
import re
from collections.abc import Callable

import httpx
import pytest
from scripted_engine import ScriptedEngine

from askback.contracts.client import RetrieverClient, StudentClient, TeacherClient
from askback.contracts.errors import InvalidInput, NotFound, UpstreamRejected
from askback.contracts.records import Exchange
from askback.contracts.student import AnswerMode, AnswerRequest, AskRequest, ClarifyRequest, Resolver
from askback.tasks import task_named
from services.student.adapters import Adapters
from services.student.answering import questions_regex
from services.student.app import create_app
from services.student.resolvers import UNANSWERED, Resolvers

TEACHER_TEXT = "Q1. What is the Amazon?\nIt is a river.\nQ2. Where?\nIt is in Peru.\nFinal answer: Q?\nThe answer is yes."


RUN = "r1"


def teacher(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    assert (body["metadata"], request.headers.get("x-askback-run", "")) == ({"question_id": "q1"}, RUN)
    choice = {"message": {"role": "assistant", "content": TEACHER_TEXT}}
    headers = {"x-askback-backend": body["model"], "x-askback-cost-usd": "0.25"}
    return httpx.Response(200, json={"model": "m", "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}, headers=headers)


def retriever(request: httpx.Request) -> httpx.Response:
    queries = json.loads(request.content)["queries"]
    hits = [[{"score": 1.0, "passage": {"id": "p", "title": "T", "sentences": [f"About {query}"]}}] for query in queries[:1]] + [[]]
    return httpx.Response(200, json={"hits": hits})


@pytest.fixture
def student(engine: ScriptedEngine, open_adapters: Callable[[], Adapters]) -> StudentClient:
    resolvers = Resolvers(
        TeacherClient(httpx.AsyncClient(transport=httpx.MockTransport(teacher), base_url="http://teacher")),
        RetrieverClient(httpx.AsyncClient(transport=httpx.MockTransport(retriever), base_url="http://retriever")),
    )
    app = create_app(engine, open_adapters(), resolvers)
    return StudentClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://student"))


async def test_clarify_gives_draft_probability_and_questions(student: StudentClient) -> None:
    answer = await student.clarify(ClarifyRequest(question="Is it?"))
    assert (answer.draft.answer, answer.draft.questions, answer.model) == ("yes", ["What is the Amazon?", "Where does it flow?"], "base")
    assert answer.draft.p_yes == pytest.approx(0.7)
    assert answer.usage.completion_tokens == 4


async def test_clarify_drops_a_repeated_question_and_honours_the_most(student: StudentClient, engine: ScriptedEngine) -> None:
    engine.questions = "1. What is the Amazon?\n2. What is the Amazon?"
    assert (await student.clarify(ClarifyRequest(question="Is it?"))).draft.questions == ["What is the Amazon?"]
    await student.clarify(ClarifyRequest(question="Is it?", max_questions=1))
    assert any(sampling.regex and "2\\." not in sampling.regex for _, _, sampling in engine.calls)


async def test_clarify_without_a_question_is_an_error_and_not_an_empty_list(student: StudentClient, engine: ScriptedEngine) -> None:
    engine.questions = "I would rather not"
    with pytest.raises(UpstreamRejected, match="no question"):
        await student.clarify(ClarifyRequest(question="Is it?"))


@pytest.mark.parametrize("mode", list(AnswerMode))
async def test_the_test_prompt_is_the_training_prompt(student: StudentClient, engine: ScriptedEngine, mode: AnswerMode) -> None:
    exchanges = [Exchange(question="A?", answer="B.")]
    await student.answer(AnswerRequest(question="Is it?", mode=mode, thought="B.", exchanges=exchanges))
    trained_on = task_named("strategyqa").prompt(mode.value, "Is it?", thought="B.", exchanges=exchanges)
    assert engine.calls[-1][1] == trained_on


async def test_reasoning_is_parsed_and_the_unparsable_stays_none(student: StudentClient, engine: ScriptedEngine) -> None:
    assert (await student.answer(AnswerRequest(question="Is it?", mode=AnswerMode.COT))).answer == "yes"
    engine.free_text = "It depends"
    answer = await student.answer(AnswerRequest(question="Is it?", mode=AnswerMode.COT))
    assert (answer.answer, answer.text, answer.p_yes) == (None, "It depends", None)


@pytest.mark.parametrize("mode", [AnswerMode.DIRECT, AnswerMode.COT])
async def test_temperature_and_seed_reach_the_engine(student: StudentClient, engine: ScriptedEngine, mode: AnswerMode) -> None:
    await student.answer(AnswerRequest(question="Is it so?", mode=mode, temperature=0.7, seed=5))
    await student.answer(AnswerRequest(question="Is it so?", mode=mode))
    assert [(sampling.temperature, sampling.seed) for _, _, sampling in engine.calls] == [(0.7, 5), (0.0, None)]


@pytest.mark.parametrize("change", [{"temperature": 2.1}, {"temperature": -0.1}, {"seed": -1}])
def test_a_temperature_or_seed_out_of_bounds_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AnswerRequest.model_validate({"question": "Is it so?"} | change)


async def test_ask_with_the_teacher_never_shows_the_verdict(student: StudentClient, engine: ScriptedEngine) -> None:
    answer = await student.ask(AskRequest(question="Is it?", question_id="q1", run=RUN))
    assert [exchange.answer for exchange in answer.exchanges] == ["It is a river.", "It is in Peru."]
    assert [exchange.question for exchange in answer.exchanges] == ["What is the Amazon?", "Where does it flow?"]
    assert (answer.answered_by, answer.usage.cost_usd) == ("teacher", 0.25)
    read = " ".join(message.content for message in engine.calls[-1][1])
    assert "It is in Peru." in read and "answer is" not in read


async def test_ask_in_one_turn_reads_the_answers_as_facts(student: StudentClient, engine: ScriptedEngine) -> None:
    await student.ask(AskRequest(question="Is it?", question_id="q1", resolver=Resolver.GOLD, one_turn=True, run=RUN))
    assert engine.calls[-1][1] == task_named("strategyqa").prompt("context", "Is it?", thought="It is a river. It is in Peru.")


async def test_ask_the_retriever_and_nobody(student: StudentClient) -> None:
    found = await student.ask(AskRequest(question="Is it?", resolver=Resolver.RETRIEVER))
    assert [exchange.answer for exchange in found.exchanges] == ["About What is the Amazon?", UNANSWERED]
    alone = await student.ask(AskRequest(question="Is it?", resolver=Resolver.NONE))
    assert [exchange.answer for exchange in alone.exchanges] == [UNANSWERED] * 2


async def test_mistakes_are_named(student: StudentClient) -> None:
    with pytest.raises(NotFound, match="no adapter 'nope'; loaded: base"):
        await student.answer(AnswerRequest(question="Is it?", adapter="nope"))
    with pytest.raises(InvalidInput, match="unknown task 'chess'"):
        await student.answer(AnswerRequest(question="Is it?", task="chess"))


async def test_a_question_that_is_only_asked_back_is_replaced(student: StudentClient, engine: ScriptedEngine) -> None:
    engine.questions = "1. Is the Amazon in Peru?\n2. Where does it flow?"
    answer = await student.clarify(ClarifyRequest(question="Is the  amazon in Peru"))
    assert answer.draft.questions == ["Where does it flow?"]
    assert len([call for call in engine.calls if call[2].regex]) == 1


async def test_a_student_that_asks_nothing_else_is_held_to_another_beginning(student: StudentClient, engine: ScriptedEngine) -> None:
    echo, own = "1. Is the Amazon in Peru?", "1. Where does the Amazon begin?"
    engine.question_of = lambda regex: own if re.fullmatch(regex, echo) is None else echo
    answer = await student.clarify(ClarifyRequest(question="Is the Amazon in Peru?"))
    assert answer.draft.questions == ["Where does the Amazon begin?"]
    assert answer.usage.completion_tokens == 6  # the draft and both tries


@pytest.mark.parametrize(
    ("question", "begins"),
    [("Is the Amazon in Peru?", "Is the"), ("Could Zorba dance?", "Could zorba"), ("Did 3 men land on the Moon?", "Did 3")],
)
def test_the_held_back_beginning_is_the_question_s_own_alone(question: str, begins: str) -> None:
    pattern = re.compile(questions_regex(2, question))
    assert not pattern.fullmatch(f"1. {question}")
    assert not pattern.fullmatch(f"1. {begins} same again, or so?")
    assert pattern.fullmatch(f"1. {question.split()[0]} (something) else the matter here?")
    assert pattern.fullmatch("1. What is it that is asked for?\n2. Where does one find that?")
    assert re.fullmatch(questions_regex(2), f"1. {question}")


def test_a_question_with_an_opener_of_its_own_holds_nothing_back() -> None:
    assert questions_regex(1, "Mozart lived how long?") == questions_regex(1)
