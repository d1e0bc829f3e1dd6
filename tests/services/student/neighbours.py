"""A teacher and a retriever that answer from rules, behind the real clients; each can be made to fail or to wait."""

import asyncio
import json
import threading
import time

import httpx

from askback.contracts.client import RetrieverClient, TeacherClient
from services.student.resolvers import Resolvers

TEACHER_TEXT = "Q1. What is the Amazon?\nIt is a river.\nQ2. Where?\nIt is in Peru.\nFinal answer: Q?\nThe answer is yes."


class Neighbours:
    def __init__(self) -> None:
        self.text = TEACHER_TEXT
        self.cost_usd, self.usage = 0.25, {"prompt_tokens": 5, "completion_tokens": 7}
        self.teacher_error: tuple[int, str] | None = None
        self.retriever_error: tuple[int, str] | None = None
        self.found: list[str] = ["The Amazon flows through Brazil.", ""]
        """The best passage for each question; empty for none."""
        self.waiting: asyncio.Event | threading.Event | None = None
        """The teacher answers once this is set; an event of threads for a service that runs in another."""
        self.cancelled = 0

    def hold(self) -> threading.Event:
        """Let the teacher wait until the event that is returned is set."""
        self.waiting = threading.Event()
        return self.waiting

    def until_cancelled(self) -> None:
        """Returns once a call of the teacher was given up; raises AssertionError when that does not happen."""
        end = time.monotonic() + 5
        while not self.cancelled:
            assert time.monotonic() < end, "nobody gave up the teacher's call"
            time.sleep(0.01)

    def resolvers(self) -> Resolvers:
        return Resolvers(
            TeacherClient(httpx.AsyncClient(transport=httpx.MockTransport(self._teacher), base_url="http://teacher")),
            RetrieverClient(httpx.AsyncClient(transport=httpx.MockTransport(self._retriever), base_url="http://retriever")),
        )

    async def _teacher(self, request: httpx.Request) -> httpx.Response:
        if self.waiting is not None:
            try:
                while not self.waiting.is_set():
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.teacher_error:
            return _refusal(*self.teacher_error)
        choice = {"message": {"role": "assistant", "content": self.text}}
        headers = {"x-askback-backend": json.loads(request.content)["model"], "x-askback-cost-usd": str(self.cost_usd)}
        return httpx.Response(200, json={"model": "m", "choices": [choice], "usage": self.usage}, headers=headers)

    def _retriever(self, request: httpx.Request) -> httpx.Response:
        if self.retriever_error:
            return _refusal(*self.retriever_error)
        hits = [[{"score": 1.0, "passage": {"id": "p", "title": "T", "sentences": [text]}}] if text else [] for text in self.found]
        told = json.loads(request.content)
        if request.url.path.endswith("/multihop"):  # one passage a hop
            return httpx.Response(200, json={"hits": [hit for best in hits for hit in best][: told["k"]], "queries": []})
        return httpx.Response(200, json={"hits": hits[: len(told["queries"])]})


def _refusal(status: int, name: str) -> httpx.Response:
    return httpx.Response(status, json={"error": name, "detail": f"{name} here"})
