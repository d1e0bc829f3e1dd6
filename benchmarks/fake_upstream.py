"""A fake upstream: answers every chat completion at once and counts them. Started by the benchmarks as a process of its own.

GET /calls returns {"calls": number of completions so far}. The answer to "Question NUMBER" is "Answer NUMBER.", so that a
mix-up of answers can be seen.
"""

import argparse
import asyncio
import json
import re

import uvloop

from benchmarks.http_protocol import HttpProtocol, response

_NUMBER = re.compile(rb"Question (\d{12})")
_USAGE = {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}


def completion(text: str) -> bytes:
    """The body of a chat completion that says `text`."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "big", "choices": [choice], "usage": _USAGE}).encode()


class CountingUpstream:
    """Answers requests; `calls` is the number of completions so far."""

    def __init__(self) -> None:
        self.calls = 0
        self._template = response(200, completion("Answer 000000000000."))

    def answer(self, path: str, body: bytes) -> bytes:
        """The response to one request."""
        if path.endswith("/chat/completions"):
            self.calls += 1
            number = _NUMBER.search(body)
            return self._template.replace(b"000000000000", number[1]) if number else self._template
        if path == "/calls":
            return response(200, json.dumps({"calls": self.calls}).encode())
        return response(404, b"{}")


async def _serve(port: int) -> None:
    upstream = CountingUpstream()
    server = await asyncio.get_running_loop().create_server(lambda: HttpProtocol(upstream.answer), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
