"""Cache, single flight, fallback and the active backend together, over fake upstreams."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput, NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.teacher import ChatRequest, Recording, RecordingsRequest
from services.teacher.backend import Completion
from services.teacher.core import Teacher
from services.teacher.database import Database

Ask = Callable[..., ChatRequest]
MakeTeacher = Callable[..., Teacher]


class FakeUpstream:
    """Answers `answer N`, or raises; holds every call until `go` is set."""

    def __init__(self, error: ServiceError | None = None, problem: str = "", hold: bool = False) -> None:
        self.calls, self.error, self.problem, self.go = 0, error, problem, asyncio.Event()
        if not hold:
            self.go.set()

    async def complete(self, request: ChatRequest) -> Completion:
        self.calls += 1
        number = self.calls
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Completion(f"answer {number}", "big-2026", 10, 5, 0.25, self.problem)


async def record(teacher: Teacher, backend: str, question_id: str, text: str) -> None:
    row = Recording(question_id=question_id, question="Is water wet?", completion=text, model="gpt-4")
    assert await teacher.record(RecordingsRequest(backend=backend, recordings=[row])) == 1


async def test_a_paid_answer_is_bought_once_and_then_free(make_teacher: MakeTeacher, ask: Ask) -> None:
    upstream = FakeUpstream()
    teacher = make_teacher(paid=upstream)
    first, second = [await teacher.chat(ask(model="paid", user=user)) for user in ("ann", "bob")]
    assert (first.cache, first.completion.cost_usd) == ("miss", 0.25)
    assert (second.cache, second.completion.cost_usd) == ("hit", 0.0)
    assert second.completion.text == first.completion.text == "answer 1"
    assert (second.completion.prompt_tokens, second.completion.completion_tokens, second.completion.model) == (10, 5, "big-2026")
    assert first.request_hash == second.request_hash
    assert upstream.calls == 1


async def test_twenty_at_once_are_one_call_paid_by_one(make_teacher: MakeTeacher, ask: Ask) -> None:
    upstream = FakeUpstream(hold=True)
    teacher = make_teacher(paid=upstream)
    waiting = [asyncio.create_task(teacher.chat(ask(model="paid"))) for _ in range(20)]
    await asyncio.sleep(0.01)
    upstream.go.set()
    answers = await asyncio.gather(*waiting)
    assert upstream.calls == 1
    assert sorted(answer.cache for answer in answers) == ["coalesced"] * 19 + ["miss"]
    assert sum(answer.completion.cost_usd for answer in answers) == 0.25 == teacher.usage().total.cost_usd
    assert {answer.completion.text for answer in answers} == {"answer 1"}


async def test_the_answer_of_a_caller_who_hung_up_is_kept(make_teacher: MakeTeacher, ask: Ask) -> None:
    upstream = FakeUpstream(hold=True)
    teacher = make_teacher(paid=upstream)
    caller = asyncio.create_task(teacher.chat(ask(model="paid")))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    upstream.go.set()
    await teacher.settle(5.0)
    again = await teacher.chat(ask(model="paid"))
    assert (again.cache, again.completion.text, upstream.calls) == ("hit", "answer 1", 1)


@pytest.mark.parametrize("error", [UpstreamUnavailable("down"), UpstreamRejected("no"), NotFound("nothing")])
async def test_errors_are_not_cached_nor_booked(make_teacher: MakeTeacher, ask: Ask, error: ServiceError) -> None:
    upstream = FakeUpstream(error)
    teacher = make_teacher(paid=upstream)
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            await teacher.chat(ask(model="paid"))
    assert upstream.calls == 2
    assert teacher.usage().total.calls == 0
    upstream.error = None
    assert (await teacher.chat(ask(model="paid"))).cache == "miss"


async def test_an_unusable_answer_is_booked_and_not_cached(make_teacher: MakeTeacher, ask: Ask) -> None:
    upstream = FakeUpstream(problem="truncated")
    teacher = make_teacher(paid=upstream)
    for _ in range(2):
        with pytest.raises(UpstreamRejected, match="'paid': truncated"):
            await teacher.chat(ask(model="paid"))
    assert upstream.calls == 2
    assert (teacher.usage().total.calls, teacher.usage().total.cost_usd) == (2, 0.5)


async def test_fallbacks_are_asked_in_order_and_named(make_teacher: MakeTeacher, ask: Ask) -> None:
    backed, paid = FakeUpstream(UpstreamUnavailable("down")), FakeUpstream()
    answer = await make_teacher(backed=backed, paid=paid).chat(ask(model="backed"))
    assert (answer.backend, answer.completion.text, backed.calls) == ("paid", "answer 1", 1)


async def test_the_last_fallback_answers_when_those_before_it_fail(make_teacher: MakeTeacher, ask: Ask) -> None:
    teacher = make_teacher(backed=FakeUpstream(UpstreamUnavailable("down")), paid=FakeUpstream(NotFound("no model")))
    await record(teacher, "gold", "q1", "from gold")
    answer = await teacher.chat(ask(model="backed", metadata={"question_id": "q1"}))
    assert (answer.backend, answer.completion.text, answer.completion.cost_usd) == ("gold", "from gold", 0.0)


async def test_a_rejected_request_goes_to_nobody_else(make_teacher: MakeTeacher, ask: Ask) -> None:
    paid = FakeUpstream()
    teacher = make_teacher(backed=FakeUpstream(UpstreamRejected("bad key")), paid=paid)
    with pytest.raises(UpstreamRejected, match="bad key"):
        await teacher.chat(ask(model="backed"))
    assert paid.calls == 0


async def test_when_all_fail_the_error_names_all_and_says_whether_to_try_later(make_teacher: MakeTeacher, ask: Ask) -> None:
    teacher = make_teacher(backed=FakeUpstream(UpstreamUnavailable("down")), paid=FakeUpstream(UpstreamUnavailable("late")))
    with pytest.raises(UpstreamUnavailable, match=r"down; late; backend 'gold': no recording"):
        await teacher.chat(ask(model="backed"))
    with pytest.raises(NotFound, match=r"'replay': no recording .*; backend 'gold': no recording"):
        await teacher.chat(ask(model="teacher"))


async def test_an_unknown_model_lists_the_names(make_teacher: MakeTeacher, ask: Ask) -> None:
    with pytest.raises(NotFound, match="'gpt-9'; known: teacher, replay, gold, paid, backed"):
        await make_teacher().chat(ask(model="gpt-9"))


async def test_recordings_belong_to_recorded_backends(make_teacher: MakeTeacher) -> None:
    teacher = make_teacher()
    with pytest.raises(InvalidInput, match="kind openai"):
        await teacher.record(RecordingsRequest(backend="paid", recordings=[]))
    with pytest.raises(NotFound, match="known: teacher, replay"):
        await teacher.record(RecordingsRequest(backend="tape", recordings=[]))
    with pytest.raises(NotFound):
        await teacher.record(RecordingsRequest(backend="other", recordings=[]))


async def test_the_active_backend_can_be_swapped_and_survives_a_restart(make_teacher: MakeTeacher, ask: Ask, backends_file: Path) -> None:
    upstream = FakeUpstream()
    teacher = make_teacher(paid=upstream)
    await record(teacher, "replay", "q1", "from replay")
    assert (await teacher.chat(ask())).backend == "replay"
    await teacher.activate("paid")
    assert (await teacher.chat(ask())).backend == "paid"
    restarted = make_teacher(paid=upstream)
    assert [backend.name for backend in restarted.backends().backends if backend.active] == ["paid"]
    assert (await restarted.chat(ask())).cache == "hit"
    backends_file.write_text(backends_file.read_text().replace('"paid"', '"renamed"'))
    assert make_teacher(renamed=upstream).spec("teacher").name == "replay"


async def test_an_unknown_backend_cannot_be_activated(make_teacher: MakeTeacher) -> None:
    teacher = make_teacher()
    for name in ("tape", "teacher"):
        with pytest.raises(NotFound):
            await teacher.activate(name)
    assert teacher.spec("teacher").name == "replay"


async def test_a_paid_answer_that_cannot_be_kept_is_an_error(make_teacher: MakeTeacher, ask: Ask, database: Database) -> None:
    teacher = make_teacher(paid=FakeUpstream())
    with database.transaction() as connection:
        connection.execute("DROP TABLE ledger")
    with pytest.raises(ServiceError, match="cannot be written: no such table: ledger"):
        await teacher.chat(ask(model="paid"))
    assert database.read("SELECT count(*) FROM answers") == [(0,)]
