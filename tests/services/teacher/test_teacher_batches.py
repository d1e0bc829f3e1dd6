"""Batches: checked and paid for before anything is sent, never sent or booked twice, answers in the cache."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from askback.contracts.client import TeacherClient
from askback.contracts.errors import BudgetExceeded, InvalidInput, NotFound, ServiceError, UpstreamUnavailable
from askback.contracts.teacher import BatchRequest, BatchState
from services.serving import create_service
from services.teacher.answers.cache import RecentAnswers
from services.teacher.answers.completion import Completion
from services.teacher.answers.provenance import provenance_of
from services.teacher.answers.sqlite_answers import SqliteAnswers
from services.teacher.backends import Backends, OpenAIBackend
from services.teacher.batch import orders as batch_orders
from services.teacher.batch import results as batch_results
from services.teacher.batch.batch_routes import batch_router
from services.teacher.batch.batches import Batches
from services.teacher.batch.openai_batch import OpenAIBatchUpstream
from services.teacher.batch.upstream import BatchOffer
from services.teacher.config import OpenAISpec, TeacherConfig
from services.teacher.core import Teacher
from services.teacher.money.budget import Budget
from services.teacher.money.ledger import Ledger
from services.teacher.money.prices import Price, flat_price
from services.teacher.request.asked import read_request
from services.teacher.request.canonical import request_key
from services.teacher.selection import ActiveBackend
from services.teacher.storage.database import Database
from tests.services.teacher.fake_batch_upstream import FakeBatchUpstream, answer, completion

COST = 10e-6  # half of 10 prompt tokens at 1 dollar a million and 5 of the answer at 2; the books round to 1e-12 dollars
Booked = tuple[str, int, int, float]


@dataclass
class Stand:
    """One process's worth of a teacher with batches."""

    path: Path
    url: str
    total_usd: float | None = None
    price: Price | None = field(default_factory=lambda: flat_price(1, 2))
    missing: str = ""
    offered: bool = True
    patience_s: float = 0.05
    metered: list[Booked] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec = OpenAISpec(name="paid", kind="openai", model="big", base_url=self.url, batch=True, max_completion_tokens=100, timeout_s=5)
        plain = OpenAISpec(name="plain", kind="openai", model="big", base_url=self.url)
        config = TeacherConfig(active="paid", backends=[spec, plain])
        self.database = Database(self.path)
        self.ledger, self.store, self.recent = Ledger(self.database), SqliteAnswers(self.database), RecentAnswers(2**20)
        self.budget = Budget(self.database, self.ledger, self.total_usd, None)
        self.backends = Backends(config, {"paid": OpenAIBackend(spec, self.price, None)}, ActiveBackend(self.database, config))
        offers = {"paid": BatchOffer(spec, self.price, OpenAIBatchUpstream(spec, "sk-secret", max_retries=0), self.missing)} if self.offered else {}
        self.batches = Batches(
            self.database, self.budget, self.store, self.recent, self.backends.spec, offers, self, poll_s=0.01, patience_s=self.patience_s
        )

    def booked(self, backend: str, prompt_tokens: int, completion_tokens: int, usd: float) -> None:
        self.metered.append((backend, prompt_tokens, completion_tokens, round(usd, 12)))

    async def submit(self, *texts: str, **fields: Any) -> BatchState:
        return await self.batches.submit(BatchRequest(requests=[ask(text) for text in texts], **fields))

    async def over(self, batch_id: str) -> BatchState:
        """The batch, once it is over and nobody follows it any more."""
        await until(lambda: self.batches.state(batch_id).finished_at is not None)
        await until(lambda: f"batch {batch_id}" not in {task.get_name() for task in asyncio.all_tasks()})
        return self.batches.state(batch_id)

    async def kept(self, text: str) -> Completion | None:
        return await self.store.find(key(text))

    def entries(self) -> list[tuple[Any, ...]]:
        return self.database.read("SELECT run, kind, round(cost_usd, 12), estimated, problem FROM ledger ORDER BY id")

    def rows(self) -> int:
        return int(self.database.read("SELECT count(*) FROM batch_rows")[0][0])

    async def close(self) -> None:
        await self.batches.close()
        self.database.close()

    async def restart(self, **changes: Any) -> "Stand":
        """The next process, which has resumed."""
        await self.close()
        following = replace(self, metered=[], **changes)
        await following.batches.resume()
        return following


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def key(text: str) -> str:
    return request_key("paid", "big", read_request(orjson.dumps(ask(text))).meaning)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def fake() -> AsyncIterator[FakeBatchUpstream]:
    async with FakeBatchUpstream() as fake:
        yield fake


@pytest.fixture
async def stand(fake: FakeBatchUpstream, tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(tmp_path / "teacher.sqlite", fake.url)
    yield stand
    await stand.close()


@pytest.fixture
async def make_stand(fake: FakeBatchUpstream, tmp_path: Path) -> AsyncIterator[Callable[..., Stand]]:
    made: list[Stand] = []

    def make(**fields: Any) -> Stand:
        made.append(Stand(tmp_path / f"teacher-{len(made)}.sqlite", fake.url, **fields))
        return made[-1]

    yield make
    for stand in made:
        await stand.close()


async def submitted(stand: Stand, *texts: str, **fields: Any) -> BatchState:
    """A batch that the upstream has."""
    state = await stand.submit(*texts, **fields)
    await until(lambda: stand.batches.state(state.id).status == "submitted")
    return state


async def test_answers_are_bought_at_half_the_price_and_then_in_the_cache(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one", "two", run="r1")
    assert (state.status, state.requests, state.sent, state.backend, state.model, state.run) == ("created", 2, 2, "paid", "big", "r1")
    assert stand.budget.reserved_usd > 2 * COST
    fake.finish()
    done = await stand.over(state.id)
    assert (done.status, done.answered, done.cost_usd, done.errors, done.problem) == ("completed", 2, 2 * COST, [], "")
    assert (stand.budget.reserved_usd, stand.budget.spent_usd, stand.rows()) == (0.0, 2 * COST, 0)
    assert stand.entries() == [("r1", "batch", COST, 0, "")] * 2 and stand.metered == [("paid", 10, 5, COST)] * 2
    teacher = Teacher(stand.backends, stand.store, RecentAnswers(0))
    got = await teacher.ask(read_request(orjson.dumps(ask("one", model="paid", stream=True))))
    assert got.cache == "hit" and got.completion is not None and b"To: one" in got.completion.body
    assert (got.completion.model, round(got.completion.cost_usd, 12), got.cost_usd) == ("big-2026", COST, 0.0)


async def test_the_upstream_gets_the_backends_model_a_limit_and_nothing_of_ours(fake: FakeBatchUpstream, stand: Stand) -> None:
    given = ask("one", model="paid", stream=True, stream_options={"include_usage": True}, metadata={"question_id": "q1"}, temperature=0)
    await stand.batches.submit(BatchRequest(backend="paid", requests=[given]))
    await until(lambda: bool(fake.batches))
    assert fake.requests("batch-1") == [
        {
            "custom_id": "request-0",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": ask("one", model="big", temperature=0, max_completion_tokens=100),
        }
    ]


async def test_provenance_is_kept_with_the_answer(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await stand.batches.submit(BatchRequest(requests=[ask("Q: Wet?", metadata={"question_id": "q1", "sample_index": "3"})]))
    await until(lambda: bool(fake.batches))
    fake.finish()
    await stand.over(state.id)
    [(_, provenance)] = stand.store.all("paid")
    assert (provenance.question_id, provenance.question, provenance.sample_index) == ("q1", "Wet?", 3)


async def test_what_is_answered_and_what_stands_twice_is_not_sent(fake: FakeBatchUpstream, stand: Stand) -> None:
    first = await submitted(stand, "one", "two")
    fake.finish()
    await stand.over(first.id)
    state = await submitted(stand, "one", "three", "three", "two", "four")
    assert (state.requests, state.cached, state.duplicates, state.sent) == (5, 2, 1, 2)
    assert [line["custom_id"] for line in fake.requests("batch-2")] == ["request-1", "request-4"]
    nothing = await stand.submit("one", "one")
    assert (nothing.status, nothing.cached, nothing.sent, nothing.answered) == ("completed", 2, 0, 0) and nothing.finished_at
    assert len(fake.batches) == 2


async def test_what_another_batch_is_buying_is_not_bought_again(fake: FakeBatchUpstream, stand: Stand) -> None:
    first, again = await asyncio.gather(stand.submit("one", "two"), stand.submit("one", "two"))
    assert (first.sent, again.sent, again.duplicates) == (2, 0, 2)
    await until(lambda: bool(fake.batches))
    await stand.batches.cancel(first.id)
    await until(lambda: "cancel" in fake.calls)
    fake.finish(lambda body: None, status="cancelled")
    await stand.over(first.id)
    assert (await stand.submit("one")).sent == 1


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([], "requests: there are 0"),
        ([ask("ok"), {"messages": []}], r"requests\[1\]: messages"),
        ([{"messages": [{"role": "user"}]}], r"requests\[0\]: messages.0.content: is missing"),
        ([ask("ok"), ask("ok", n=0)], r"requests\[1\]: n: "),
        ([ask("ok", web_search_options={"a": 1})], r"requests\[0\]: web_search_options"),
        ([ask("ok", metadata={"sample_index": "x"})], r"requests\[0\]: metadata.sample_index"),
        ([ask("ok", model="plain")], r"requests\[0\]: model: is 'plain'"),
        ([ask("ok", seed=2**80)], r"requests\[0\]: Integer exceeds"),
    ],
)
async def test_one_bad_request_stops_all(fake: FakeBatchUpstream, stand: Stand, requests: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        await stand.batches.submit(BatchRequest(requests=requests))
    assert "\n" not in str(caught.value)
    assert (stand.batches.states().batches, stand.budget.reserved_usd, stand.rows(), fake.calls) == ([], 0.0, 0, [])


async def test_the_upstreams_limits_are_named(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_orders, "MAX_REQUESTS", 2)
    with pytest.raises(InvalidInput, match="requests: there are 3, and a batch takes from 1 to 2"):
        await stand.submit("one", "two", "three")
    monkeypatch.setattr(batch_orders, "MAX_FILE_BYTES", 300)
    with pytest.raises(InvalidInput, match="larger than the 300 bytes"):
        await stand.submit("one", "x" * 200)


async def test_only_backends_with_batches_take_them(make_stand: Callable[..., Stand]) -> None:
    with pytest.raises(InvalidInput, match=r"'plain' takes no batches; .*: paid"):
        await make_stand().submit("one", backend="plain")
    with pytest.raises(NotFound, match="no backend 'other'"):
        await make_stand().submit("one", backend="other")
    with pytest.raises(UpstreamUnavailable, match="KEY is not set"):
        await make_stand(missing="KEY is not set").submit("one")
    with pytest.raises(InvalidInput, match="run: "):
        await make_stand().submit("one", run="r" * 129)


async def test_a_batch_over_the_budget_is_refused_whole(fake: FakeBatchUpstream, make_stand: Callable[..., Stand]) -> None:
    stand = make_stand(total_usd=2.5e-4)
    with pytest.raises(BudgetExceeded, match="budget 'total'"):
        await stand.submit("one", "two")
    first = await submitted(stand, "one")
    with pytest.raises(BudgetExceeded, match="calls and batches under way hold them"):
        await stand.submit("two")
    assert len(stand.batches.states().batches) == len(fake.batches) == 1
    fake.finish()
    await stand.over(first.id)
    assert (await stand.submit("two")).sent == 1


async def test_an_unknown_price_is_refused_and_a_free_one_reserves_nothing(fake: FakeBatchUpstream, make_stand: Callable[..., Stand]) -> None:
    with pytest.raises(BudgetExceeded, match="price of model 'big'"):
        await make_stand(price=None).submit("one")
    free = make_stand(price=flat_price(0, 0), total_usd=0.0)
    state = await submitted(free, "one")
    fake.finish()
    assert (await free.over(state.id)).answered == 1
    assert free.entries() == [("", "batch", 0.0, 0, "")]


def mixed(body: dict[str, Any]) -> dict[str, Any] | None:
    """A result of the kind that the request's text names."""
    text = body["messages"][-1]["content"]
    refused = {"error": {"message": "bad\nfield", "code": "invalid_value"}}
    results: dict[str, dict[str, Any] | None] = {
        "cut": answer(body, choices=[{"message": {"content": "To:"}, "finish_reason": "length"}]),
        "no usage": answer(body, usage=None),
        "no completion": {"response": {"status_code": 200, "body": {"choices": []}}, "error": None},
        "refused": {"response": {"status_code": 400, "body": refused}, "error": None},
        "refused too": {"response": {"status_code": 400, "body": refused}, "error": None},
        "odd": {"response": {"status_code": 500, "body": None}, "error": None},
        "expired": {"response": None, "error": {"code": "batch_expired", "message": "too late"}},
        "silent": None,
    }
    return results.get(text, answer(body))


async def test_each_request_ends_in_its_own_way(fake: FakeBatchUpstream, stand: Stand) -> None:
    texts = ["good", "cut", "no usage", "no completion", "refused", "refused too", "odd", "expired", "silent"]
    state = await submitted(stand, *texts)
    bounds = dict(stand.database.read("SELECT number, usd FROM batch_rows"))
    fake.finish(mixed, status="expired")
    done = await stand.over(state.id)
    assert (done.status, done.sent, done.answered, done.unusable, done.failed, done.unanswered) == ("expired", 9, 2, 2, 4, 1)
    booked = 2 * COST + bounds[2] + bounds[3]
    assert done.cost_usd == pytest.approx(booked) and stand.budget.spent_usd == pytest.approx(booked)
    assert stand.budget.reserved_usd == 0.0
    assert sorted(stand.entries(), key=lambda entry: entry[2:4]) == [
        ("", "batch", COST, 0, ""),
        ("", "batch", COST, 0, "the answer is truncated at its token limit"),
        *sorted(
            [
                ("", "batch", bounds[2], 1, ""),
                ("", "batch", bounds[3], 1, "the answer is no chat completion (choices: must be a list of at least one)"),
            ],
            key=lambda entry: entry[2],
        ),
    ]
    assert [(error.kind, error.count) for error in done.errors] == [
        ("invalid_value", 2),
        ("unusable", 2),
        ("batch_expired", 1),
        ("status 500", 1),
    ]
    assert done.errors[0].example == "requests[4]: bad field"
    assert [text for text in texts if await stand.kept(text)] == ["good", "no usage"]


async def test_a_batch_that_the_upstream_finds_bad_costs_nothing(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    faults = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]}
    fake.finish(lambda body: None, status="failed", errors=faults)
    done = await stand.over(state.id)
    assert (done.status, done.unanswered, done.cost_usd, stand.budget.reserved_usd) == ("failed", 1, 0.0, 0.0)
    assert [(error.kind, error.example) for error in done.errors] == [("token_limit_exceeded", "Enqueued token limit reached")]


@pytest.mark.parametrize("call", ["upload", "create"])
async def test_a_batch_that_is_refused_costs_nothing(fake: FakeBatchUpstream, stand: Stand, call: str) -> None:
    fake.troubles = [(call, 401)]
    done = await stand.over((await stand.submit("one")).id)
    assert (done.status, stand.budget.reserved_usd, stand.rows()) == ("failed", 0.0, 0)
    assert "answered 401" in done.errors[0].example and "sk-secret" not in done.errors[0].example


async def test_a_cancelled_batch_hands_over_what_it_has(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one", "two")
    cancelled = await stand.batches.cancel(state.id)
    assert cancelled.cancel_requested and cancelled.finished_at is None
    await until(lambda: fake.batches["batch-1"]["status"] == "cancelling")
    fake.finish(lambda body: answer(body) if "one" in str(body) else None, status="cancelled")
    done = await stand.over(state.id)
    assert (done.status, done.answered, done.unanswered, done.cost_usd, stand.budget.reserved_usd) == ("cancelled", 1, 1, COST, 0.0)
    assert fake.calls.count("cancel") == 1
    assert await stand.batches.cancel(state.id) == done
    with pytest.raises(NotFound, match="no batch 'nix'"):
        await stand.batches.cancel("nix")


async def test_a_refused_cancel_does_not_stop_the_batch(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    fake.troubles = [("cancel", 400)]
    await stand.batches.cancel(state.id)
    await until(lambda: "cancel" in fake.calls)
    fake.finish()
    assert (await stand.over(state.id)).status == "completed"


async def test_a_batch_cancelled_before_it_is_sent_is_never_sent(fake: FakeBatchUpstream, stand: Stand) -> None:
    fake.troubles = [("upload", "hang")]
    state = await stand.submit("one")
    await fake.hung.wait()
    await stand.batches.close()
    assert (await stand.batches.cancel(state.id)).cancel_requested
    following = await stand.restart()
    done = await following.over(state.id)
    assert (done.status, done.unanswered, following.budget.reserved_usd, fake.batches) == ("cancelled", 1, 0.0, {})
    await following.close()


async def test_a_cancel_reaches_a_batch_whose_creation_was_not_seen(fake: FakeBatchUpstream, stand: Stand) -> None:
    fake.troubles = [("create", "hang")]
    state = await stand.submit("one")
    await fake.hung.wait()
    await stand.batches.cancel(state.id)
    following = await stand.restart()
    await until(lambda: fake.batches["batch-1"]["status"] == "cancelling")
    fake.finish(status="cancelled")
    assert (await following.over(state.id)).answered == 1
    await following.close()


@pytest.mark.parametrize("keeps_metadata", [True, False])
@pytest.mark.parametrize("call", ["upload", "create", "status", "download"])
async def test_a_process_that_ends_anywhere_is_taken_over(fake: FakeBatchUpstream, stand: Stand, call: str, keeps_metadata: bool) -> None:
    fake.keeps_metadata = keeps_metadata
    fake.troubles = [(call, "hang")]
    state = await stand.submit("one", "two")
    if call == "download":
        await until(lambda: bool(fake.batches))
        fake.finish()
    await fake.hung.wait()
    following = await stand.restart()
    await until(lambda: bool(fake.batches))
    fake.finish()
    done = await following.over(state.id)
    assert (len(fake.batches), done.answered, done.cost_usd) == (1, 2, 2 * COST)
    assert len(following.entries()) == 2 and (following.budget.spent_usd, following.budget.reserved_usd) == (2 * COST, 0.0)
    await following.close()


@pytest.mark.parametrize("call", ["upload", "create", "status", "download"])
@pytest.mark.parametrize("trouble", ["drop", 503, 429, "html"])
async def test_troubles_of_the_upstream_are_waited_out(fake: FakeBatchUpstream, stand: Stand, call: str, trouble: str | int) -> None:
    fake.troubles = [(call, trouble)] * 2
    state = await stand.submit("one")
    await until(lambda: bool(fake.batches))
    fake.finish()
    done = await stand.over(state.id)
    assert (len(fake.batches), done.answered, done.problem, len(stand.entries())) == (1, 1, "", 1)


async def test_a_trouble_is_told_while_it_lasts(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    fake.troubles = [("status", 401)] * 3
    await until(lambda: "answered 401" in stand.batches.state(state.id).problem)
    assert "answered 401" in stand.batches.states().batches[0].problem
    await until(lambda: not stand.batches.state(state.id).problem)
    assert stand.budget.reserved_usd > 0


async def test_a_fetch_that_breaks_off_books_nothing_twice(fake: FakeBatchUpstream, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_results, "_AT_A_TIME", 2)
    texts = [f"question {number} " + "x" * 2000 for number in range(40)]
    fake.troubles = [("download", "cut"), ("download", "cut")]
    state = await submitted(stand, *texts)
    reserved = stand.budget.reserved_usd
    fake.finish()
    await until(lambda: fake.calls.count("download") >= 2)
    following = await stand.restart()
    done = await following.over(state.id)
    assert (done.answered, len(following.entries())) == (40, 40) and done.cost_usd == pytest.approx(40 * COST)
    assert following.budget.spent_usd == pytest.approx(40 * COST) and following.budget.reserved_usd == 0.0 < reserved
    assert all([await following.kept(text) for text in texts])
    await following.close()


async def test_money_is_never_counted_below_what_is_owed(fake: FakeBatchUpstream, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each part of a fetch: what is spent, plus the bounds of the rows that are open, is what the limits see."""
    monkeypatch.setattr(batch_results, "_AT_A_TIME", 1)
    seen = []
    book = stand.budget.book

    async def watched(*given: Any) -> None:
        await book(*given)
        bounds = sum(usd for (usd,) in stand.database.read("SELECT usd FROM batch_rows"))
        seen.append((stand.budget.reserved_usd, bounds))

    monkeypatch.setattr(stand.budget, "book", watched)
    state = await submitted(stand, "one", "two", "refused", "three")
    fake.finish(mixed)
    await stand.over(state.id)
    assert len(seen) == 5
    assert all(reserved == pytest.approx(bounds, abs=1e-11) and reserved >= bounds - 1e-15 for reserved, bounds in seen)


async def test_answers_that_are_announced_and_not_there_are_waited_for(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    fake.finish()
    output, fake.batches["batch-1"]["output_file_id"] = fake.batches["batch-1"]["output_file_id"], None
    await until(lambda: "1 answers are ready" in stand.batches.state(state.id).problem or stand.batches.state(state.id).finished_at is not None)
    fake.batches["batch-1"]["output_file_id"] = output
    assert (await stand.over(state.id)).answered == 1


async def test_a_wrong_key_loses_nothing_of_a_cancelled_batch(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    await stand.batches.cancel(state.id)
    await until(lambda: "cancel" in fake.calls)
    fake.troubles = [("download", 401), ("download", 401)]
    fake.finish(status="cancelled")
    assert (await stand.over(state.id)).answered == 1


@pytest.mark.parametrize("gone", ["batch", "output"])
async def test_a_batch_that_the_upstream_denies_is_given_up_only_on_demand(fake: FakeBatchUpstream, stand: Stand, gone: str) -> None:
    state = await submitted(stand, "one")
    reserved = stand.budget.reserved_usd
    if gone == "batch":
        fake.batches.clear()
    else:
        fake.finish()
        fake.files.pop("file-output-batch-1")
    await until(lambda: "cancel the batch" in stand.batches.state(state.id).problem)
    assert (stand.budget.reserved_usd, stand.budget.spent_usd) == (reserved, 0.0)
    await stand.batches.cancel(state.id)
    done = await stand.over(state.id)
    assert (done.unanswered, done.cost_usd, done.errors[0].kind) == (1, reserved, "lost")
    assert (stand.budget.reserved_usd, stand.budget.spent_usd) == (0.0, reserved)
    [(_, _, cost, estimated, problem)] = stand.entries()
    assert (cost, estimated) == (reserved, 1) and "404" in problem


async def test_lines_that_cannot_be_read_are_told_and_given_up_only_on_demand(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one", "two")
    second = stand.database.read("SELECT usd FROM batch_rows WHERE number = 1")[0][0]
    fake.finish()
    output = fake.batches["batch-1"]["output_file_id"]
    good = fake.files[output].splitlines()[0]
    fake.files[output] = good + b"\n" + b'{"custom_id": 7}\n' + b"[]\nnonsense\n" + good + b'\n{"custom_id":"request-99"}\n'
    await until(lambda: "3 lines of file file-output-batch-1 are no results" in stand.batches.state(state.id).problem)
    assert await stand.kept("one") and (stand.budget.spent_usd, stand.budget.reserved_usd) == (COST, pytest.approx(second))
    await stand.batches.cancel(state.id)
    done = await stand.over(state.id)
    assert (done.answered, done.unanswered, done.errors[0].kind) == (1, 1, "lost") and done.cost_usd == pytest.approx(COST + second)
    assert stand.budget.reserved_usd == 0.0


async def test_an_answer_that_was_given_meanwhile_stays(fake: FakeBatchUpstream, stand: Stand) -> None:
    state = await submitted(stand, "one")
    meanwhile = Completion(orjson.dumps(completion("Bought online.")), "big", 10, 5, 2 * COST, 1.0)
    await stand.store.keep(key("one"), meanwhile, provenance_of(read_request(orjson.dumps(ask("one"))), "paid"))
    fake.finish()
    assert (await stand.over(state.id)).cost_usd == COST
    assert await stand.kept("one") == meanwhile


async def test_what_a_killed_process_left_half_written_is_cleared(fake: FakeBatchUpstream, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("services.teacher.batch.jobs.BatchJobs.create", never)
    submitting = asyncio.create_task(stand.submit("one", "two"))
    await until(lambda: stand.rows() == 2)
    monkeypatch.undo()
    following = await stand.restart()
    assert (following.rows(), following.budget.reserved_usd, following.batches.states().batches) == (0, 0.0, [])
    assert (await following.submit("one")).sent == 1
    with pytest.raises(asyncio.CancelledError):
        await submitting
    await following.close()


async def test_a_batch_that_cannot_be_written_down_reserves_nothing(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ServiceError("the disk is full")

    monkeypatch.setattr("services.teacher.batch.jobs.BatchJobs.create", fail)
    with pytest.raises(ServiceError, match="disk is full"):
        await stand.submit("one")
    assert (stand.budget.reserved_usd, stand.batches.states().batches) == (0.0, [])


async def test_a_caller_who_leaves_does_not_stop_the_submission(fake: FakeBatchUpstream, stand: Stand) -> None:
    caller = asyncio.create_task(stand.submit("one"))
    await asyncio.sleep(0)
    caller.cancel()
    await until(lambda: bool(fake.batches))
    fake.finish()
    assert (await stand.over(stand.batches.states().batches[0].id)).answered == 1


@pytest.mark.parametrize("change", [{"offered": False}, {"missing": "KEY is not set"}])
async def test_a_batch_whose_backend_is_gone_waits_or_is_given_up(fake: FakeBatchUpstream, stand: Stand, change: dict[str, Any]) -> None:
    state = await submitted(stand, "one")
    following = await stand.restart(**change)
    reserved = following.budget.reserved_usd
    problem = following.batches.state(state.id).problem
    assert reserved > 0 and problem.startswith("backend 'paid': ") and "cancel the batch" in problem
    given_up = await following.batches.cancel(state.id)
    assert (given_up.status, given_up.cost_usd, given_up.problem, following.budget.reserved_usd) == ("failed", reserved, "", 0.0)
    await following.close()


async def test_batches_are_listed_the_newest_first(stand: Stand) -> None:
    first, second = await stand.submit("one"), await stand.submit("two")
    assert [state.id for state in stand.batches.states().batches] == [second.id, first.id]
    with pytest.raises(NotFound, match="no batch 'nix'"):
        stand.batches.state("nix")


_SUBMIT_AND_DIE = """
import asyncio, sys
from pathlib import Path
from tests.services.teacher.test_teacher_batches import Stand
async def main():
    stand = Stand(Path(sys.argv[1]), sys.argv[2])
    await stand.batches.resume()
    if not stand.batches.states().batches:
        await stand.submit(*(f"question {number}" for number in range(600)), run="r")
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_kill_9_at_any_step_sends_and_books_once(fake: FakeBatchUpstream, tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite"
    for call in ("upload", "create", "status", "download"):
        fake.hung.clear()
        fake.troubles = [(call, "hang")] if call != "download" else [("download", "cut"), ("download", "hang")]
        if call == "download":
            fake.finish()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SUBMIT_AND_DIE, str(path), fake.url, cwd=Path(__file__).parents[3], env=os.environ | {"PYTHONPATH": "."}
        )
        async with asyncio.timeout(60):
            await fake.hung.wait()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    last = Stand(path, fake.url)
    partly = len(last.entries())
    assert 0 < partly < 600
    await last.batches.resume()
    [state] = last.batches.states().batches
    done = await last.over(state.id)
    assert (len(fake.batches), done.answered, len(last.entries())) == (1, 600, 600)
    assert done.cost_usd == pytest.approx(600 * COST) and last.budget.spent_usd == pytest.approx(600 * COST)
    assert (last.budget.reserved_usd, last.rows()) == (0.0, 0)
    await last.close()


async def test_the_client_speaks_the_routes(
    fake: FakeBatchUpstream, make_stand: Callable[..., Stand], serve_app: Callable[..., str], tmp_path: Path
) -> None:
    stand = Stand(tmp_path / "served.sqlite", fake.url)
    url = serve_app(create_service("teacher", batch_router(stand.batches)))
    async with TeacherClient.at(url) as client:
        state = await client.submit_batch(BatchRequest(requests=[ask("one")], run="r"))
        await until(lambda: bool(fake.batches))
        assert (await client.cancel_batch(state.id)).cancel_requested
        await until(lambda: "cancel" in fake.calls)
        fake.finish(status="cancelled")
        async with asyncio.timeout(10):
            while (await client.batch(state.id)).finished_at is None:
                await asyncio.sleep(0.01)
        listed = (await client.batches()).batches
        assert listed == [await client.batch(state.id)] and listed[0].status == "cancelled"
        with pytest.raises(InvalidInput, match=r"requests\[0\]: messages"):
            await client.submit_batch(BatchRequest(requests=[{}]))
        with pytest.raises(NotFound):
            await client.batch("nix")
    async with httpx.AsyncClient(base_url=url) as http:
        accepted = await http.post("/v1/batches", json={"requests": [ask("two")]})
        bad = await http.post("/v1/batches", content=b'{"requests": [1], "more": 2}')
        broken = await http.post("/v1/batches", content=b"{")
    assert accepted.status_code == 202
    assert (bad.status_code, bad.json()["error"]) == (422, "InvalidInput") and bad.json()["detail"].startswith("requests.0: ")
    assert broken.status_code == 422 and "JSON" in broken.json()["detail"]
