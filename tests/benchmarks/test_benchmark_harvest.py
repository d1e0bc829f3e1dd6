"""Both harvests must ask for the same, the stand-ins must be understood, and `ok` must be false as soon as one claim fails."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from askback.contracts.student import AnswerResponse, ClarifyResponse
from askback.tasks import task_named
from benchmarks.fake_student import DRAFT, FakeStudent
from benchmarks.harvest_prompts import TASK, samples, teacher_prompts
from benchmarks.harvest_verdict import Figures, Harvested, figures, summary
from benchmarks.slow_upstream import SlowProtocol, SlowUpstream

OURS = Figures(rows=1000, rows_per_s=100.0, cpu_ms_per_row=4.0, calls_per_round=1000, rounds=[100.0])
LONG = replace(OURS, rows=2000, rows_per_s=121.6)
PEER = replace(OURS, rows_per_s=50.0, cpu_ms_per_row=8.0, calls_per_round=1001)
CALL = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


class Clock:
    """Keeps what shall happen later until it is told that the time has come."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def later(self, action: Callable[[], None]) -> None:
        self.due.append(action)

    def pass_by(self) -> None:
        due, self.due = self.due, []
        for action in due:
            action()


class Wire:
    """Takes what a connection writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def test_reaching_every_bound_is_ok() -> None:
    result = summary(OURS, LONG, PEER, "1.0", 128.0)
    assert (result["missed"], result["ok"]) == ([], True)
    assert result["ratio"] == {"of_ideal": 0.95, "rows_per_s": 2.0, "cpu_per_row": 0.5, "reachable": 2.56}


@pytest.mark.parametrize(
    ("compared", "long", "said"),
    [
        (OURS, replace(LONG, rows_per_s=121.0), "of_ideal is 0.9453, below 0.95"),
        (replace(OURS, rows_per_s=99.0), LONG, "rows_per_s is 1.98 times the peer's, below 2"),
    ],
)
def test_one_figure_below_its_bound_is_named(compared: Figures, long: Figures, said: str) -> None:
    result = summary(compared, long, PEER, "1.0", 128.0)
    assert (result["missed"], result["ok"]) == ([said], False)


def test_without_a_peer_the_ideal_alone_counts() -> None:
    result = summary(OURS, LONG, None, None, 128.0)
    assert (result["peer"], result["ratio"], result["ok"]) == (None, {"of_ideal": 0.95}, True)


def test_figures_are_medians_of_the_rounds() -> None:
    seen = figures([Harvested(100, 1.0, 0.2, 100), Harvested(100, 4.0, 0.9, 101), Harvested(100, 2.0, 0.4, 100)])
    assert seen == Figures(rows=100, rows_per_s=50.0, cpu_ms_per_row=4.0, calls_per_round=100, rounds=[100.0, 25.0, 50.0])


def test_an_answer_leaves_when_the_latency_is_over() -> None:
    clock, wire = Clock(), Wire()
    upstream = SlowUpstream(clock.later)
    for _ in range(3):
        protocol = SlowProtocol(upstream.answer, clock.later)
        protocol.connection_made(wire)  # type: ignore[arg-type]
        protocol.data_received(CALL)
    assert (wire.written, upstream.calls, upstream.under_way) == ([], 3, 3)
    clock.pass_by()
    assert (len(wire.written), upstream.under_way, upstream.most_under_way) == (3, 0, 3)


def test_the_reply_is_a_teachers() -> None:
    body = SlowUpstream(lambda action: None).answer("/v1/chat/completions", b"").split(b"\r\n\r\n", 1)[1]
    reply = task_named(TASK).parse_teacher(json.loads(body)["choices"][0]["message"]["content"])
    assert (reply.answer, [exchange.question for exchange in reply.exchanges]) == ("yes", DRAFT.questions)


def test_the_student_says_what_the_contract_asks_for() -> None:
    student = FakeStudent()

    def said(path: str) -> bytes:
        return student.answer(path, b"{}").split(b"\r\n\r\n", 1)[1]

    assert ClarifyResponse.model_validate_json(said("/v1/clarify")).draft == DRAFT
    assert AnswerResponse.model_validate_json(said("/v1/answer")).answer == "yes"
    assert student.answer("/v1/ask", b"{}").startswith(b"HTTP/1.1 404")


def test_every_prompt_is_another_and_carries_its_question() -> None:
    prompts = teacher_prompts(50)
    assert len(set(prompts)) == 50
    assert all(sample.question in prompt for sample, prompt in zip(samples(50), prompts, strict=True))
