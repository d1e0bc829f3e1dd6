"""Cache, single flight, fallback and the active backend together, over scripted upstreams."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from scripted_upstream import ScriptedUpstream, completion

from askback.contracts.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    InvalidInput,
    NotCached,
    NotFound,
    ServiceError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from askback.contracts.teacher import Recording
from services.teacher.answers.cache import RecentAnswers
from services.teacher.answers.completion import Completion
from services.teacher.answers.sqlite_answers import SqliteAnswers
from services.teacher.app import Parts
from services.teacher.core import Answer, Teacher
from services.teacher.request.asked import Asked
from services.teacher.request.cache_control import CacheControl
from services.teacher.storage.database import Database
from services.teacher.upstream.protocol import Lost, NotSent, Refused

Ask = Callable[..., Asked]
MakeParts = Callable[..., Parts]
DOLLARS = 2e-5


def text(answer: Answer) -> str:
    assert answer.completion is not None
    content: str = orjson.loads(answer.completion.body)["choices"][0]["message"]["content"]
    return content


def refused(status: int = 400, code: str = "", **headers: str) -> Refused:
    return Refused(f"answered {status}", status, code, headers)


def record(parts: Parts, backend: str, question_id: str, answer: str) -> None:
    row = Recording(question_id=question_id, question="Is water wet?", completion=answer, model="gpt-4")
    assert parts.recordings.store(backend, [row]) == 1


async def test_a_paid_answer_is_bought_once_and_then_free(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream()
    teacher = make_parts(paid=upstream).teacher
    first, second = [await teacher.ask(ask(model="paid", user=user)) for user in ("ann", "bob")]
    assert (first.cache, first.cost_usd) == ("miss", pytest.approx(DOLLARS))
    assert (second.cache, second.cost_usd) == ("hit", 0.0)
    assert second.completion == first.completion
    assert (first.request_hash, upstream.calls) == (second.request_hash, 1)
    assert teacher.recall(ask(model="paid")) == second


async def test_what_is_sent_upstream(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream()
    parts = make_parts(paid=upstream)
    await parts.teacher.ask(ask(model="paid", seed=7, metadata={"question_id": "q1"}, user="ann"))
    assert upstream.sent[0] == {
        "model": "big",
        "messages": [{"role": "user", "content": "Q: Is water wet?"}],
        "seed": 7,
        "user": "ann",
        "max_completion_tokens": 4096,
    }
    await parts.teacher.ask(ask(model="paid", max_tokens=9, stream=True))
    assert upstream.sent[1]["max_tokens"] == 9 and "max_completion_tokens" not in upstream.sent[1]
    assert (upstream.sent[1]["stream"], upstream.sent[1]["stream_options"]) == (True, {"include_usage": True})


async def test_fifty_at_once_are_one_call_paid_by_one(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(hold=True)
    parts = make_parts(paid=upstream)
    waiting = [asyncio.create_task(parts.teacher.ask(ask(model="paid"))) for _ in range(50)]
    await asyncio.sleep(0.01)
    upstream.go.set()
    answers = await asyncio.gather(*waiting)
    assert upstream.calls == 1
    assert sorted(answer.cache for answer in answers) == ["coalesced"] * 49 + ["miss"]
    assert sum(answer.cost_usd for answer in answers) == pytest.approx(DOLLARS) == parts.ledger.usage().total.cost_usd
    assert {text(answer) for answer in answers} == {"answer 1"}


async def test_streams_and_plain_requests_share_a_call_and_an_entry(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(hold=True)
    teacher = make_parts(paid=upstream).teacher
    leading = asyncio.create_task(teacher.ask(ask(model="paid", stream=True)))
    await asyncio.sleep(0.01)
    joined = asyncio.create_task(teacher.ask(ask(model="paid", stream=True)))
    plain = asyncio.create_task(teacher.ask(ask(model="paid")))
    streams = await asyncio.gather(leading, joined)
    assert [stream.cache for stream in streams] == ["miss", "coalesced"]
    upstream.go.set()
    for stream in streams:
        assert stream.live is not None
        chunks = [chunk async for chunk in stream.live]
        assert len(chunks) == 4 and chunks[-1] == b"[DONE]"
    assert (text(await plain), upstream.calls) == ("answer 1", 1)
    again = await teacher.ask(ask(model="paid", stream=True))
    assert (again.cache, again.live) == ("hit", None)


async def test_the_answer_of_a_caller_who_hung_up_is_kept(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(hold=True)
    teacher = make_parts(paid=upstream).teacher
    caller = asyncio.create_task(teacher.ask(ask(model="paid")))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert teacher.under_way == 1
    upstream.go.set()
    await teacher.settle(5.0)
    again = await teacher.ask(ask(model="paid"))
    assert (again.cache, text(again), upstream.calls) == ("hit", "answer 1", 1)


async def test_a_callers_own_deadline_leaves_the_call_under_way(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(hold=True)
    teacher = make_parts(paid=upstream).teacher
    with pytest.raises(DeadlineExceeded, match=r"within the 0\.01 s of x-askback-deadline-s"):
        await teacher.ask(ask(model="paid", deadline_s=0.01))
    upstream.go.set()
    await teacher.settle(5.0)
    assert (await teacher.ask(ask(model="paid", deadline_s=0.01))).cache == "hit"


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(refused(400), UpstreamRejected), (refused(429, "insufficient_quota"), UpstreamRejected), (Lost("bad JSON", again=False), UpstreamRejected)],
)
async def test_what_would_fail_again_is_asked_once_and_not_cached(
    make_parts: MakeParts, ask: Ask, failure: Refused | Lost, raised: type[ServiceError]
) -> None:
    upstream = ScriptedUpstream(failure)
    teacher = make_parts(paid=upstream).teacher
    with pytest.raises(raised, match=f"backend 'paid': {failure}"):
        await teacher.ask(ask(model="paid"))
    assert upstream.calls == 1
    assert (await teacher.ask(ask(model="paid"))).cache == "miss"


@pytest.mark.parametrize("failure", [refused(500), refused(408), NotSent("down"), Lost("cut", again=True)])
async def test_what_may_help_is_tried_again(make_parts: MakeParts, ask: Ask, failure: Refused | Lost | NotSent) -> None:
    upstream = ScriptedUpstream(failure)
    assert text(await make_parts(paid=upstream).teacher.ask(ask(model="paid"))) == "answer 2"
    down = ScriptedUpstream(failure, failure, failure)
    with pytest.raises(UpstreamUnavailable, match=str(failure)):
        await make_parts(paid=down).teacher.ask(ask("other", model="paid"))
    assert down.calls == 2  # max_tries


async def test_a_limit_is_no_try_and_its_retry_after_is_waited_out(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(*[refused(429, **{"retry-after": "0.05"})] * 4)
    started = asyncio.get_running_loop().time()
    assert text(await make_parts(paid=upstream).teacher.ask(ask(model="paid"))) == "answer 5"
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_a_retry_after_beyond_the_deadline_is_handed_on(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(refused(429, **{"retry-after": "900"}))
    with pytest.raises(UpstreamUnavailable) as caught:
        await make_parts(paid=upstream).teacher.ask(ask(model="paid"))
    assert caught.value.retry_after_s == 900


async def test_only_what_was_or_may_have_been_paid_is_booked(make_parts: MakeParts, ask: Ask) -> None:
    parts = make_parts(paid=ScriptedUpstream(refused(500)))
    await parts.teacher.ask(ask(model="paid"))
    assert (parts.ledger.usage().total.calls, parts.budget.reserved_usd) == (1, 0.0)
    lost = make_parts(paid=ScriptedUpstream(Lost("cut", again=True)))
    await lost.teacher.ask(ask("other", model="paid", max_tokens=5))
    total = lost.ledger.usage().total
    assert total.calls == 3
    assert total.estimated_usd > DOLLARS  # the lost call stands at the most that it can have cost


async def test_a_reply_without_usage_is_booked_at_its_upper_bound(make_parts: MakeParts, ask: Ask) -> None:
    silent = completion()
    del silent["usage"]
    parts = make_parts(paid=ScriptedUpstream(silent))
    answer = await parts.teacher.ask(ask(model="paid"))
    assert answer.cost_usd == parts.ledger.usage().total.estimated_usd > 0


@pytest.mark.parametrize("answer", [completion("cut of", "length"), completion("", "stop"), completion("no", "content_filter")])
async def test_an_answer_that_is_not_whole_is_handed_on_booked_and_not_cached(make_parts: MakeParts, ask: Ask, answer: dict[str, Any]) -> None:
    upstream = ScriptedUpstream(answer, answer)
    parts = make_parts(paid=upstream)
    for _ in range(2):
        got = await parts.teacher.ask(ask(model="paid"))
        assert got.completion is not None and orjson.loads(got.completion.body) == answer
    assert (upstream.calls, parts.ledger.usage().total.calls) == (2, 2)


async def test_fallbacks_are_asked_in_order_and_named(make_parts: MakeParts, ask: Ask) -> None:
    backed, paid = ScriptedUpstream(NotSent("down")), ScriptedUpstream()
    answer = await make_parts(backed=backed, paid=paid).teacher.ask(ask(model="backed"))
    assert (answer.backend, text(answer), backed.calls) == ("paid", "answer 1", 1)


async def test_the_last_fallback_answers_when_those_before_it_fail(make_parts: MakeParts, ask: Ask) -> None:
    parts = make_parts(backed=ScriptedUpstream(NotSent("down")), paid=ScriptedUpstream(NotSent("down"), NotSent("down")))
    record(parts, "gold", "q1", "from gold")
    answer = await parts.teacher.ask(ask(model="backed", metadata={"question_id": "q1"}))
    assert (answer.backend, text(answer), answer.cost_usd) == ("gold", "from gold", 0.0)


async def test_a_rejected_request_goes_to_nobody_else(make_parts: MakeParts, ask: Ask) -> None:
    paid = ScriptedUpstream()
    with pytest.raises(UpstreamRejected, match="answered 401"):
        await make_parts(backed=ScriptedUpstream(refused(401)), paid=paid).teacher.ask(ask(model="backed"))
    assert paid.calls == 0


async def test_when_all_fail_the_error_names_all_and_says_whether_to_try_later(make_parts: MakeParts, ask: Ask) -> None:
    down = [NotSent("down"), NotSent("down")]
    teacher = make_parts(backed=ScriptedUpstream(*down), paid=ScriptedUpstream(*down)).teacher
    with pytest.raises(UpstreamUnavailable, match=r"'backed': down; backend 'paid': down; backend 'gold': no recording"):
        await teacher.ask(ask(model="backed"))
    with pytest.raises(NotFound, match=r"'replay': no recording .*; backend 'gold': no recording"):
        await teacher.ask(ask(model="teacher"))


async def test_an_unknown_model_lists_the_names(make_parts: MakeParts, ask: Ask) -> None:
    with pytest.raises(NotFound, match="'gpt-9'; known: teacher, replay, gold, paid, backed"):
        await make_parts().teacher.ask(ask(model="gpt-9"))


async def test_recordings_belong_to_recorded_backends(make_parts: MakeParts) -> None:
    backends = make_parts(paid=ScriptedUpstream()).backends
    with pytest.raises(InvalidInput, match="kind openai"):
        backends.recorded("paid")
    with pytest.raises(NotFound, match="known: teacher, replay"):
        backends.recorded("tape")


async def test_the_active_backend_can_be_swapped_and_survives_a_restart(make_parts: MakeParts, ask: Ask, backends_file: Path) -> None:
    upstream = ScriptedUpstream()
    parts = make_parts(paid=upstream, backed=upstream)
    record(parts, "replay", "q1", "from replay")
    assert (await parts.teacher.ask(ask())).backend == "replay"
    parts.backends.activate("paid")
    assert (await parts.teacher.ask(ask())).backend == "paid"
    restarted = make_parts(paid=upstream, backed=upstream)
    assert [backend.name for backend in restarted.backends.describe().backends if backend.active] == ["paid"]
    assert (await restarted.teacher.ask(ask())).cache == "hit"
    backends_file.write_text(backends_file.read_text().replace('"paid"', '"renamed"'))
    assert make_parts(renamed=upstream).backends.spec("teacher").name == "replay"


async def test_an_unknown_backend_cannot_be_activated(make_parts: MakeParts) -> None:
    backends = make_parts().backends
    for name in ("tape", "teacher"):
        with pytest.raises(NotFound):
            backends.activate(name)
    assert backends.spec("teacher").name == "replay"


async def test_a_paid_answer_that_cannot_be_booked_is_an_error(make_parts: MakeParts, ask: Ask, database: Database) -> None:
    teacher = make_parts(paid=ScriptedUpstream()).teacher
    with database.transaction() as connection:
        connection.execute("DROP TABLE ledger")
    with pytest.raises(ServiceError, match="cannot be written: no such table: ledger"):
        await teacher.ask(ask(model="paid"))


async def test_the_gate_of_a_run_that_has_no_money_left_does_not_hold_up_another(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream()
    parts = make_parts(paid=upstream)
    await parts.budget.set_limit("run:poor", 0.0)
    poor, rich = await asyncio.gather(*(parts.teacher.ask(ask(model="paid", run=run)) for run in ("poor", "rich")), return_exceptions=True)
    assert isinstance(poor, BudgetExceeded) and isinstance(rich, Answer)
    assert (rich.cache, upstream.calls) == ("miss", 1)


async def ages(teacher: Teacher, ask: Ask, **control: Any) -> str:
    return (await teacher.ask(ask(model="paid", cache=CacheControl(**control)))).cache


async def test_cache_control(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream()
    teacher = make_parts(paid=upstream).teacher
    with pytest.raises(NotCached, match="only-if-cached"):
        await ages(teacher, ask, only_if_cached=True)
    assert upstream.calls == 0
    assert await ages(teacher, ask, no_store=True) == "miss"
    assert await ages(teacher, ask) == "miss"  # what came with no-store was not kept
    assert await ages(teacher, ask, only_if_cached=True) == "hit"
    assert await ages(teacher, ask, max_age_s=3600.0) == "hit"
    assert await ages(teacher, ask, no_cache=True) == "miss"
    assert text(await teacher.ask(ask(model="paid"))) == "answer 3"  # the new answer replaced the old one
    await asyncio.sleep(0.01)
    assert await ages(teacher, ask, max_age_s=0.0) == "miss"


class SlowStore(SqliteAnswers):
    """A store that answers when told, as one across a network would."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.go = asyncio.Event()

    async def find(self, key: str) -> Completion | None:
        await self.go.wait()
        return await super().find(key)


async def test_who_wants_a_new_answer_gets_none_that_another_was_content_with(make_parts: MakeParts, ask: Ask, database: Database) -> None:
    upstream = ScriptedUpstream()
    parts = make_parts(paid=upstream)
    await parts.teacher.ask(ask(model="paid"))
    store = SlowStore(database)
    teacher = Teacher(parts.backends, store, RecentAnswers(2**20))  # its memory is empty, so both look into the store
    content = asyncio.create_task(teacher.ask(ask(model="paid")))
    await asyncio.sleep(0)
    demanding = asyncio.create_task(teacher.ask(ask(model="paid", cache=CacheControl(no_cache=True))))
    await asyncio.sleep(0)
    store.go.set()
    assert ((await content).cache, text(await content)) == ("hit", "answer 1")
    assert ((await demanding).cache, text(await demanding)) == ("miss", "answer 2")


async def test_a_deadline_covers_the_whole_chain(make_parts: MakeParts, ask: Ask) -> None:
    slow = ScriptedUpstream(hold=True)
    teacher = make_parts(backed=ScriptedUpstream(NotSent("down")), paid=slow).teacher
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded, match="'backed' did not answer within"):
        await teacher.ask(ask(model="backed", deadline_s=0.1))
    assert asyncio.get_running_loop().time() - started < 1
    slow.go.set()
    await teacher.settle(5.0)


async def test_samples_of_one_prompt_are_kept_apart(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream()
    teacher = make_parts(paid=upstream).teacher
    asked = [ask(model="paid", metadata={"sample_index": str(index)}) for index in range(10)]
    first = [text(await teacher.ask(one)) for one in asked]
    assert [text(await teacher.ask(one)) for one in asked] == first
    assert (len(set(first)), upstream.calls) == (10, 10)
