"""A fake student: drafts and rewrites at once and the same for all. Started by the harvest benchmark as a process of its own."""

import argparse
import asyncio

import uvloop

from askback.contracts.records import Draft, Usage
from askback.contracts.student import AnswerResponse, ClarifyResponse
from benchmarks.http_protocol import HttpProtocol, response

_MODEL = "fake"
DRAFT = Draft(answer="no", p_yes=0.4, questions=["What is asked for?", "What is known of it?"])


class FakeStudent:
    """Answers /v1/clarify and /v1/answer."""

    def __init__(self) -> None:
        clarified = ClarifyResponse(draft=DRAFT, model=_MODEL, usage=Usage(prompt_tokens=40, completion_tokens=30))
        answered = AnswerResponse(answer="yes", text="yes", p_yes=0.6, model=_MODEL, usage=Usage(prompt_tokens=90, completion_tokens=1))
        self._answers = {
            "/v1/clarify": response(200, clarified.model_dump_json().encode()),
            "/v1/answer": response(200, answered.model_dump_json().encode()),
            "/readyz": response(200, b"{}"),
        }

    def answer(self, path: str, _body: bytes) -> bytes:
        """The response to one request."""
        return self._answers.get(path) or response(404, b"{}")


async def _serve(port: int) -> None:
    student = FakeStudent()
    server = await asyncio.get_running_loop().create_server(lambda: HttpProtocol(student.answer), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
