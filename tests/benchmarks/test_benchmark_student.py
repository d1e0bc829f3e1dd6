"""The student benchmark's `ok`, and the fake engine that it measures with."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.fake_engine import EngineProtocol, FakeEngine
from benchmarks.measurement import Figures
from benchmarks.student import cells
from benchmarks.student_verdict import Cell, summary


def barely() -> dict[Cell, Figures]:
    """Figures which meet every claim and none by more than it asks."""
    return {cell: Figures(950, 105, 130, 0.3) if cell.who == "ours" else Figures(1000, 100, 110, 0) for cell in cells()}


def test_reaching_every_bound_is_ok() -> None:
    result = summary(barely())
    assert (result["missed"], result["ok"]) == ([], True)
    assert result["ratio"]["kept"]["stream"] == {"1": 0.95, "16": 0.95, "64": 0.95}
    assert result["ratio"]["added_p99_ms"]["whole"] == {"1": 20, "16": 20, "64": 20}
    assert result["ours"]["clarify"]["16"]["p50_ms"] == 105


@pytest.mark.parametrize(
    ("cell", "change", "said"),
    [
        (Cell("ours", "whole", 1), {"p50_ms": 105.1}, "whole at concurrency 1 adds 5.1 ms at p50, above 5"),
        (Cell("ours", "stream", 64), {"p50_ms": 106}, "stream at concurrency 64 adds 6 ms at p50, above 5"),
        (Cell("ours", "stream", 64), {"requests_per_s": 940}, "stream at concurrency 64 keeps 0.94 of the throughput, below 0.95"),
    ],
)
def test_one_cell_below_its_bound_is_named(cell: Cell, change: dict[str, float], said: str) -> None:
    results = barely()
    results[cell] = replace(results[cell], **change)
    result = summary(results)
    assert (result["missed"], result["ok"]) == ([said], False)


def test_what_is_for_information_fails_nothing() -> None:
    results = barely()
    results[Cell("ours", "clarify", 64)] = Figures(1, 900, 900, 9)
    results[Cell("ours", "whole", 16)] = replace(results[Cell("ours", "whole", 16)], requests_per_s=1)
    assert summary(results)["ok"]


class Wire:
    """Takes what a connection writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def asked(path: str, **body: Any) -> tuple[Wire, list[tuple[float, Callable[[], None]]]]:
    """What a connection wrote at once, and what it put off with the seconds."""
    wire, later = Wire(), list[tuple[float, Callable[[], None]]]()
    protocol = EngineProtocol(FakeEngine(), lambda seconds, call: later.append((seconds, call)), 0.02, 0.005)
    protocol.connection_made(wire)  # type: ignore[arg-type]
    content = json.dumps(body).encode()
    protocol.data_received(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(content), content))
    return wire, later


def test_a_whole_answer_comes_when_its_last_token_is_written() -> None:
    wire, later = asked("/v1/chat/completions", messages=[])
    assert not b"".join(wire.written)
    ((seconds, write),) = later
    write()
    assert seconds == pytest.approx(0.02 + 15 * 0.005)
    assert json.loads(b"".join(wire.written).split(b"\r\n\r\n")[1])["usage"]["completion_tokens"] == 16


def test_a_stream_comes_token_by_token() -> None:
    wire, later = asked("/v1/chat/completions", stream=True)
    assert [seconds for seconds, _ in later] == pytest.approx([0.02 + number * 0.005 for number in range(16)])
    for _, write in later:
        write()
    stream = b"".join(wire.written)
    assert stream.count(b'"content":"') == 17 and stream.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_the_students_own_calls_get_what_they_can_parse() -> None:
    for fields, text in (
        ({"choice": ["yes", "no"]}, "yes"),
        ({"regex": "x"}, "1. What is asked for in this question?\n2. Which fact would decide it?"),
    ):
        wire, later = asked("/v1/chat/completions", structured_outputs=fields)
        later[0][1]()
        assert json.loads(b"".join(wire.written).split(b"\r\n\r\n", 1)[1])["choices"][0]["message"]["content"] == text
