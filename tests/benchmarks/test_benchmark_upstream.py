"""The fake upstream's count is what hits and misses are told apart by."""

import json

from benchmarks.fake_upstream import CountingUpstream
from benchmarks.http_protocol import HttpProtocol
from benchmarks.wrk import request_body


class Wire:
    """Takes what a connection writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def connect(upstream: CountingUpstream) -> tuple[HttpProtocol, Wire]:
    protocol, wire = HttpProtocol(upstream.answer), Wire()
    protocol.connection_made(wire)  # type: ignore[arg-type]
    return protocol, wire


def posted(number: int) -> bytes:
    body = json.dumps(request_body("big", number)).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def said(response: bytes) -> str:
    head, body = response.split(b"\r\n\r\n", 1)
    assert b"content-length: %d" % len(body) in head
    text: str = json.loads(body)["choices"][0]["message"]["content"]
    return text


def test_each_completion_counts_once_and_answers_its_own_number() -> None:
    upstream = CountingUpstream()
    protocol, wire = connect(upstream)
    protocol.data_received(posted(7) + posted(123456789012))
    assert [said(response) for response in wire.written] == ["Answer 000000000007.", "Answer 123456789012."]
    assert upstream.calls == 2


def test_a_request_may_come_in_pieces() -> None:
    upstream = CountingUpstream()
    protocol, wire = connect(upstream)
    for byte in posted(7):
        assert not wire.written
        protocol.data_received(bytes([byte]))
    assert said(wire.written[0]) == "Answer 000000000007."


def test_asking_for_the_count_does_not_count() -> None:
    upstream = CountingUpstream()
    protocol, wire = connect(upstream)
    protocol.data_received(posted(1) + b"GET /calls HTTP/1.1\r\n\r\n" * 2)
    assert wire.written[2].endswith(b'{"calls": 1}')
